"""Where a page lies on its template. `register` walks through the rest in this order.

scan: a page seen through a map of the template. reference: what is printed, from a picture or drawn from the template.
candidates: places where the page might lie, each way of looking by itself. refine: a place drawn onto the print, field
by field. proof: how much speaks for a place, against a rival. places: all of these in turn, until a place is proved.
labels: whether its rows bear the form's names. apart: which of two designs it is of that it fits alike. registered: the
page that lies there, and its fields cut out.
"""
