"""Does a map lie where the evidence is?"""
