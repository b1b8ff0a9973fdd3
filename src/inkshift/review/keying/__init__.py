"""Numbers keyed from pictures: `routes` is the queue, `forms` a form as a whole, `views` what both show."""
