"""The coordinating side: it combines updates and judges models.

It never holds a model class or an image.
"""
