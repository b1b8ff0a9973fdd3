"""Numbers keyed from pictures: `routes` shows the queue, or a form as a whole; `views` is what pages tell of both."""
