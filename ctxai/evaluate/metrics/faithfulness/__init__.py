"""Does removing what a map points at change the answer?"""
