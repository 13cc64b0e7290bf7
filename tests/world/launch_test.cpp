#include "world/launch.hpp"

#include <gtest/gtest.h>
#include <map>

namespace decovec {
namespace {

Launch launch_of(const std::map<std::string, std::string>& variables) {
  return read_launch([&](const char* name) -> const char* {
    const auto found = variables.find(name);
    return found == variables.end() ? nullptr : found->second.c_str();
  });
}

std::string error_of(const std::map<std::string, std::string>& variables) {
  try {
    launch_of(variables);
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "";
}

TEST(Launch, IsAloneWithoutALauncher) {
  const Launch launch = launch_of(
      {{"RANK", "3"}, {"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "8"}, {"MASTER_PORT", "tcp://10.0.0.1:80"}});
  EXPECT_EQ(launch.launcher, "");
  EXPECT_EQ(launch.rank, 0);
  EXPECT_EQ(launch.size, 1);
}

TEST(Launch, ReadsMpirun) {
  const Launch launch = launch_of({{"OMPI_COMM_WORLD_SIZE", "4"},
                                   {"OMPI_COMM_WORLD_RANK", "3"},
                                   {"OMPI_COMM_WORLD_LOCAL_RANK", "1"},
                                   {"SLURM_STEP_NUM_TASKS", "2"}});
  EXPECT_EQ(launch.launcher, "mpirun");
  EXPECT_EQ(launch.size, 4);
  EXPECT_EQ(launch.rank, 3);
  EXPECT_EQ(launch.local_rank, 1);
  EXPECT_EQ(launch.master_address, "");
}

TEST(Launch, ReadsTorchrun) {
  std::map<std::string, std::string> variables = {
      {"WORLD_SIZE", "16"},     {"RANK", "9"},
      {"LOCAL_RANK", "1"},      {"MASTER_ADDR", "node0"},
      {"MASTER_PORT", "29400"}, {"TORCHELASTIC_USE_AGENT_STORE", "True"}};
  Launch launch = launch_of(variables);
  EXPECT_EQ(launch.launcher, "torchrun");
  EXPECT_EQ(launch.size, 16);
  EXPECT_EQ(launch.rank, 9);
  EXPECT_EQ(launch.local_rank, 1);
  EXPECT_EQ(launch.master_address, "node0");
  EXPECT_EQ(launch.master_port, 29400);
  EXPECT_TRUE(launch.master_listens);
  EXPECT_EQ(launch.attempt, "0");
  variables["TORCHELASTIC_RESTART_COUNT"] = "2";
  EXPECT_EQ(launch_of(variables).attempt, "2");
  variables.erase("TORCHELASTIC_USE_AGENT_STORE");
  EXPECT_FALSE(launch_of(variables).master_listens);
}

TEST(Launch, ReadsSrun) {
  const Launch launch = launch_of({{"SLURM_STEP_NUM_TASKS", "8"},
                                   {"SLURM_PROCID", "5"},
                                   {"SLURM_LOCALID", "1"},
                                   {"MASTER_ADDR", "node0"}});
  EXPECT_EQ(launch.launcher, "srun");
  EXPECT_EQ(launch.size, 8);
  EXPECT_EQ(launch.rank, 5);
  EXPECT_EQ(launch.local_rank, 1);
  EXPECT_EQ(launch.master_port, 29500);
}

TEST(Launch, NamesTheVariableThatIsWrong) {
  const auto names = [](const std::string& error, const std::string& name) {
    return error.find(name) != std::string::npos;
  };
  EXPECT_TRUE(names(error_of({{"WORLD_SIZE", "0"}, {"RANK", "0"}, {"LOCAL_RANK", "0"}}), "WORLD_SIZE"));
  EXPECT_TRUE(names(error_of({{"WORLD_SIZE", "2"}, {"RANK", "2"}, {"LOCAL_RANK", "0"}}),
                    "RANK: expected a number from 0 to 1, got '2'"));
  EXPECT_TRUE(names(error_of({{"WORLD_SIZE", "2"}, {"LOCAL_RANK", "0"}}),
                    "RANK: expected a number from 0 to 1, got none"));
  EXPECT_TRUE(names(error_of({{"WORLD_SIZE", "2x"}, {"RANK", "0"}, {"LOCAL_RANK", "0"}}), "'2x'"));
  EXPECT_TRUE(names(error_of({{"WORLD_SIZE", "2"}, {"RANK", "0"}, {"LOCAL_RANK", "1"}}), "LOCAL_RANK"));
  EXPECT_TRUE(
      names(error_of({{"WORLD_SIZE", "2"}, {"RANK", "1"}, {"LOCAL_RANK", "1"}, {"MASTER_PORT", "70000"}}),
            "MASTER_PORT"));
}

}  // namespace
}  // namespace decovec
