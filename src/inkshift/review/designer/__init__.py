"""Templates made on a picture of the page: `drafts` keeps them, `drafting` checks them, `tryout` tries them."""
