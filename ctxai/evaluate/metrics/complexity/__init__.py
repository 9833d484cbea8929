"""How few pixels does a map need?"""
