"""Images decoded to the last byte before a model sees them.

lmms-eval switches on Pillow's ``LOAD_TRUNCATED_IMAGES`` when it is imported, for the whole process. A file that was cut
off is then answered as if its lower part were grey, and ``datasets``, which decodes when a document is read, does the
same. So documents are read and images decoded with truncation off.

What decodes is not thereby undamaged: PNG has checksums, JPEG has none. Of 300 flipped bits in a JPEG 289 gave another
picture and no error, and libjpeg itself warns of about one in seven, in messages that Pillow does not hand on.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image, ImageFile

__all__ = ["decoded", "truncation_off"]


@contextmanager
def truncation_off() -> Iterator[None]:
    """Pillow refuses files that were cut off until the block ends, whatever other libraries switched on."""
    before = ImageFile.LOAD_TRUNCATED_IMAGES
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before


def decoded(image: Image.Image, where: str) -> Image.Image:
    """The image with all its pixels read.

    Raises ValueError that begins with `where` for a file that is cut off, damaged, or too large for Pillow. An image
    that other code has decoded before, with truncation on, passes.
    """
    with truncation_off():
        try:
            image.load()
        except Exception as error:  # Pillow's decoders raise errors of many kinds.
            name = getattr(image, "filename", "") or "the image"
            raise ValueError(
                f"{where}: {name} cannot be decoded ({type(error).__name__}: {error}); it was cut off or damaged, so "
                "fetch it again"
            ) from error
    return image
