"""What the pages say, a module for each group of pages; every text in the languages of `text.LANGUAGES`, in order."""
