"""A report, drawn: as text, in colours, and as pictures.

Every view is a function of the plain data that `Report.as_dict()` gives, so it draws a finished transaction, a live one
and one from a journal alike.  `model` reads the data, `folding` shortens what repeats; the others draw.

Stands on nothing of the package.  Used by reports and by the command.
"""
