#include "world/mpi_world.hpp"

#include "io/error.hpp"

#ifdef DECOVEC_MPI
#define OMPI_SKIP_MPICXX
#include <algorithm>
#include <climits>
#include <exception>
#include <mpi.h>
#include <numeric>
#include <vector>

#include <ATen/ATen.h>

#include "world/collective_world.hpp"

namespace decovec {
namespace {

void check(int status, const char* call) {
  if (status == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING] = "";
  int length = 0;
  MPI_Error_string(status, text, &length);
  fail("MPI: {}: {}", call, std::string_view(text, static_cast<size_t>(length)));
}

MPI_Datatype type_of(const at::Tensor& tensor) {
  return summed_type<MPI_Datatype>(tensor, MPI_FLOAT, MPI_DOUBLE, MPI_INT64_T);
}

class MpiWorld : public CollectiveWorld {
 public:
  MpiWorld() {
    check(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
    check(MPI_Comm_rank(MPI_COMM_WORLD, &rank_), "MPI_Comm_rank");
    check(MPI_Comm_size(MPI_COMM_WORLD, &size_), "MPI_Comm_size");
  }
  // MPI_Finalize waits for all ranks: for ever, where this one leaves because it failed alone.
  ~MpiWorld() override {
    if (std::uncaught_exceptions() > exceptions_) MPI_Abort(MPI_COMM_WORLD, 1);
    MPI_Finalize();
  }
  int rank() const override { return rank_; }
  int size() const override { return size_; }
  void abort() override { MPI_Abort(MPI_COMM_WORLD, 1); }

 private:
  void gather_rows(const at::Tensor& own, const std::vector<int64_t>& counts, int64_t row_bytes,
                   at::Tensor& all) override {
    if (row_bytes > INT_MAX) reject("World::gather: expected rows below 2 GiB, got {} bytes", row_bytes);
    if (all.size(0) > INT_MAX) reject("World::gather: expected up to {} rows, got {}", INT_MAX, all.size(0));
    std::vector<int> numbers(counts.begin(), counts.end()), places(counts.size());
    std::exclusive_scan(numbers.begin(), numbers.end(), places.begin(), 0);
    MPI_Datatype row;
    check(MPI_Type_contiguous(static_cast<int>(row_bytes), MPI_BYTE, &row), "MPI_Type_contiguous");
    check(MPI_Type_commit(&row), "MPI_Type_commit");
    const int status = MPI_Allgatherv(own.const_data_ptr(), static_cast<int>(own.size(0)), row,
                                      all.data_ptr(), numbers.data(), places.data(), row, MPI_COMM_WORLD);
    MPI_Type_free(&row);
    check(status, "MPI_Allgatherv");
  }

  void sum(at::Tensor& values) override {
    const MPI_Datatype type = type_of(values);
    constexpr int64_t kMost = int64_t{1} << 28;  // elements of one call
    auto* data = static_cast<char*>(values.data_ptr());
    for (int64_t begin = 0; begin < values.numel(); begin += kMost) {
      const auto count = static_cast<int>(std::min(kMost, values.numel() - begin));
      check(MPI_Allreduce(MPI_IN_PLACE, data + begin * static_cast<int64_t>(values.element_size()), count,
                          type, MPI_SUM, MPI_COMM_WORLD),
            "MPI_Allreduce");
    }
  }

  void sum_parts(const at::Tensor& values, const std::vector<int64_t>& sizes, at::Tensor& own) override {
    const MPI_Datatype type = type_of(values);
    if (values.numel() > INT_MAX)
      reject("World::reduce_scatter: expected up to {} values, got {}", INT_MAX, values.numel());
    const std::vector<int> counts(sizes.begin(), sizes.end());
    check(MPI_Reduce_scatter(values.const_data_ptr(), own.data_ptr(), counts.data(), type, MPI_SUM,
                             MPI_COMM_WORLD),
          "MPI_Reduce_scatter");
  }

  int rank_ = 0, size_ = 1;
  int exceptions_ = std::uncaught_exceptions();
};

}  // namespace

std::unique_ptr<World> mpi_world(int expected_size) {
  int initialised = 0, provided = 0;
  check(MPI_Initialized(&initialised), "MPI_Initialized");
  if (initialised) fail("MPI: is in use already; call join_world once, and before other users of MPI");
  check(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided), "MPI_Init_thread");
  auto world = std::make_unique<MpiWorld>();
  if (world->size() != expected_size) {
    fail(
        "MPI: expected {} ranks, got {}; the launcher and decovec use different MPI libraries (with srun: "
        "say "
        "--mpi=pmix)",
        expected_size, world->size());
  }
  return world;
}

}  // namespace decovec

#else

namespace decovec {

std::unique_ptr<World> mpi_world(int /*expected_size*/) {
  fail("MPI: this decovec was built without it; install libopenmpi-dev and build again");
}

}  // namespace decovec

#endif
