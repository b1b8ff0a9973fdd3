"""What lies where on a page: straightened, its printed lines, its tables."""
