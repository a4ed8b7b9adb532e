"""Array types of the renderer."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
U8 = npt.NDArray[np.uint8]
I32 = npt.NDArray[np.int32]
Rows = npt.NDArray[np.intp]  # indices of rows
Bool = npt.NDArray[np.bool_]
