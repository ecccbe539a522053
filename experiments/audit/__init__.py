"""The study of the generator audit: recorded federations, and what each detector would have said of them."""
