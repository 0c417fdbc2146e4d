"""Image data sets, and tables of labels and embeddings.

May import `errors` and `files`; published tables also `space`, for the canonical names of architectures.
"""

from archrep.data.images import Images, ImageSet, load_images

__all__ = ["ImageSet", "Images", "load_images"]
