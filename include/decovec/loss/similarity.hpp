#pragma once

namespace decovec {

/// How near two vectors are; larger is nearer.
enum class Similarity {
  cosine,
  dot,
  euclidean,  ///< minus the distance
  manhattan,  ///< minus the distance
  /// AnglE's: |Re + Im| of the quotient of the unit vectors read as complex ones, whose first half is real
  /// and whose second is imaginary, summed over their entries. Li and Li 2024, arXiv:2309.12871.
  angle,
};

}  // namespace decovec
