"""Does a map change with the model's weights and classes?"""
