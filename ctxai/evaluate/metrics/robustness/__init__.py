"""Does a map hold under small changes of its input?"""
