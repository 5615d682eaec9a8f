"""An exported model: predictions for data frames and files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.arguments import PATH, check_arguments
from harness.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

    from harness.deploy.bundle import Bundle


@dataclass(frozen=True)
class ExportedModel:
    """A model in a bundle; `evenhand.open_bundle` and `Run.export` return it.

    Attributes
    ----------
    bundle : Bundle
        The bundle as it was read and checked.
    """

    bundle: Bundle

    def __repr__(self) -> str:
        manifest = self.bundle.manifest
        return f"ExportedModel({str(self.bundle.folder)!r}: {manifest['entry']}, classes {', '.join(self.classes)})"

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes; of two, the positive one is last."""
        return self.bundle.schema.classes

    @property
    def manifest(self) -> Mapping[str, Any]:
        """What the bundle says of itself: entry, hyperparameters, threshold, scores of the procedure, versions."""
        return self.bundle.manifest

    @check_arguments()
    def predict_proba(self, data: Any) -> pd.DataFrame:
        """Predict the probability of every class.

        Parameters
        ----------
        data : DataFrame of pandas or polars, str or Path
            Rows with the columns of training, or a CSV or Parquet file or a folder of images; other columns are ignored.

        Returns
        -------
        DataFrame
            A row per row, with its index; a column per class.

        Raises
        ------
        DataError
            If the data cannot be read.
        EvenhandError
            If a row cannot be predicted; the message names row and column.
        """
        import numpy as np
        import pandas as pd

        proba_parts, index = self._predict_in_parts(data)
        proba = np.concatenate(proba_parts) if proba_parts else np.empty((0, len(self.classes)))
        return pd.DataFrame(proba, columns=list(self.classes), index=index)

    @check_arguments()
    def predict(self, data: Any) -> pd.Series[str]:
        """Predict the class of every row, with two classes at the threshold of the bundle.

        Parameters
        ----------
        data : DataFrame of pandas or polars, str or Path
            As for `predict_proba`.

        Returns
        -------
        Series of str
            A class per row.
        """
        import numpy as np
        import pandas as pd

        proba = self.predict_proba(data)
        labels = np.array(self.classes, dtype=object)[self.bundle.choose_classes(proba.to_numpy())]
        return pd.Series(labels, index=proba.index, name=str(self.manifest.get("target") or "prediction"), dtype="str")

    def _predict_in_parts(self, input_rows: Any) -> tuple[list[Any], Any]:
        """Probabilities in parts, and the index of the rows."""
        from harness.api.data_frames import convert_to_pandas, is_data_frame
        from harness.deploy.predict import read_row_batches, read_rows

        if is_data_frame(input_rows):
            frame = convert_to_pandas(input_rows)
            return [self.bundle.predict_proba(read_rows(self.bundle.schema, frame).X)], frame.index
        if isinstance(input_rows, (str, Path)):
            return [
                self.bundle.predict_proba(batch.inputs.X)
                for batch, _ in read_row_batches(self.bundle, PATH.check("data", input_rows))
            ], None
        raise DataError(
            f"a data frame of pandas or polars, or a path, is expected, but got a {type(input_rows).__name__}"
        )


@check_arguments(folder=PATH)
def open_bundle(folder: str | Path) -> ExportedModel:
    """Open a bundle.

    Parameters
    ----------
    folder : str or Path
        A folder that `Run.export` or ``evenhand export`` wrote.

    Returns
    -------
    ExportedModel
        The model, ready to predict.

    Raises
    ------
    BundleError
        If it is no bundle, or a file of it was changed.
    """
    from harness.deploy.bundle import read_bundle

    return ExportedModel(read_bundle(Path(folder)))
