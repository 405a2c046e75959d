import numpy as np
from frostgrid.featurize.decoding import decode_batches
from frostgrid.featurize.extract import Extractor, batches_to_do
from frostgrid.featurize.images import load_image
from frostgrid.featurize.prepare import Job


def test_decoding_goes_on_ahead_in_order(job: Job, extractor: Extractor) -> None:
    batches = batches_to_do(np.zeros(11, np.uint8), 2)
    decoded = list(decode_batches(job.images, batches, extractor.preprocessing, workers=3))
    assert [batch.rows.tolist() for batch in decoded] == [rows.tolist() for rows in batches]
    for batch in decoded:
        for row, pixels in zip(batch.rows, batch.pixels, strict=True):
            path = job.images.path(int(row))
            assert np.array_equal(pixels, load_image(path, extractor.preprocessing).pixels)
