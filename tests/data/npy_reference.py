"""Writes io/*.npy with NumPy; run from any folder."""

from pathlib import Path

import numpy as np

folder = Path(__file__).parent / "io"
folder.mkdir(exist_ok=True)
rows = np.array([[0.5, -1.25, 3.0], [40.0, -5.5, 1e-3]])
np.save(folder / "float32.npy", rows.astype("<f4"))
np.save(folder / "float64.npy", rows)
np.save(folder / "int32.npy", np.array([1, -2, 2**31 - 1], dtype="<i4"))
np.save(folder / "int64.npy", np.array(2**62, dtype="<i8"))
np.save(folder / "empty.npy", np.empty((0, 5), dtype="<f4"))
np.save(folder / "fortran.npy", np.asfortranarray(rows))
np.save(folder / "bool.npy", np.array([True]))
with open(folder / "version2.npy", "wb") as file:
    np.lib.format.write_array(file, rows.astype("<f4"), version=(2, 0))
