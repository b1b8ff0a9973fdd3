"""A first template from pages: what is printed (`printed`), what a page is recognised by (`landmarks`), boxes
(`propose`), and the file (`starter`).
"""
