"""All readers."""

from tests.robustness.fuzzing import annotation_readers, data_readers, model_readers, run_readers

READERS = (*data_readers.READERS, *annotation_readers.READERS, *model_readers.READERS, *run_readers.READERS)
