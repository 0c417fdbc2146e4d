"""Static figures. Computing happens elsewhere; these functions only draw.

May import everything but `cli`.
"""
