#include "world/launch.hpp"

#include <charconv>
#include <cstring>

#include "io/error.hpp"

namespace decovec {
namespace {

int number(const Environment& environment, const char* name, int least, int most) {
  const char* text = environment(name);
  int value = 0;
  const char* end = text == nullptr ? nullptr : text + std::strlen(text);
  const auto parsed = text == nullptr ? std::from_chars_result{} : std::from_chars(text, end, value);
  if (text == nullptr || parsed.ec != std::errc() || parsed.ptr != end || value < least || value > most) {
    fail("{}: expected a number from {} to {}, got {}; start all ranks with one mpirun, torchrun or srun",
         name, least, most, text == nullptr ? "none" : fmt::format("'{}'", text));
  }
  return value;
}

struct Names {
  const char *launcher, *size, *rank, *local_rank;
};

// In this order: inside a SLURM job, mpirun and torchrun count. SLURM_STEP_NUM_TASKS is set for what srun
// starts, not for the batch script around it.
constexpr Names kLaunchers[] = {
    {"mpirun", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_LOCAL_RANK"},
    {"torchrun", "WORLD_SIZE", "RANK", "LOCAL_RANK"},
    {"srun", "SLURM_STEP_NUM_TASKS", "SLURM_PROCID", "SLURM_LOCALID"},
};

}  // namespace

Launch read_launch(const Environment& environment) {
  Launch launch;
  for (const Names& names : kLaunchers) {
    if (environment(names.size) == nullptr) continue;
    constexpr int kMostRanks = 1 << 20;
    launch.launcher = names.launcher;
    launch.size = number(environment, names.size, 1, kMostRanks);
    launch.rank = number(environment, names.rank, 0, launch.size - 1);
    launch.local_rank = number(environment, names.local_rank, 0, launch.rank);
    break;
  }
  if (launch.launcher != "torchrun" && launch.launcher != "srun") return launch;
  if (const char* address = environment("MASTER_ADDR")) launch.master_address = address;
  if (environment("MASTER_PORT") != nullptr)
    launch.master_port = number(environment, "MASTER_PORT", 1, 65535);
  const char* agent = environment("TORCHELASTIC_USE_AGENT_STORE");
  launch.master_listens =
      launch.launcher == "torchrun" && agent != nullptr && std::strcmp(agent, "True") == 0;
  if (const char* attempt = environment("TORCHELASTIC_RESTART_COUNT")) launch.attempt = std::string(attempt);
  return launch;
}

}  // namespace decovec
