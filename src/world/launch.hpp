// What started this process as one of several ranks, by the environment that launchers set.
#pragma once
#include <functional>
#include <string>

namespace decovec {

struct Launch {
  std::string launcher = "";  ///< mpirun, torchrun or srun; empty: none of them
  int rank = 0, size = 1;
  int local_rank = 0;               ///< among the ranks on this machine
  std::string master_address = "";  ///< where rank 0 listens; empty: not said
  int master_port = 29500;
  bool master_listens = false;  ///< the launcher itself listens there, not rank 0, and outlives this process
  std::string attempt = "0";    ///< which start of the same ranks this is
};

/// The value of an environment variable, null where it is not set.
using Environment = std::function<const char*(const char* name)>;

/// Throws std::runtime_error that names the variable that is missing or wrong.
Launch read_launch(const Environment& environment);

}  // namespace decovec
