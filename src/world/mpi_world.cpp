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
#include <ATen/core/grad_mode.h>

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
  switch (tensor.scalar_type()) {
    case at::kFloat:
      return MPI_FLOAT;
    case at::kDouble:
      return MPI_DOUBLE;
    case at::kLong:
      return MPI_INT64_T;
    default:
      reject("World::reduce: expected float, double or int64, got {}", at::toString(tensor.scalar_type()));
  }
}

class MpiWorld : public World {
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

  at::Tensor gather(const at::Tensor& rows) override {
    if (rows.dim() == 0 || !rows.is_cpu()) reject("World::gather: expected rows on the CPU");
    at::NoGradGuard no_grad;
    const at::Tensor own = rows.detach().contiguous();
    const int64_t row_bytes =
        static_cast<int64_t>(own.element_size()) *
        std::accumulate(own.sizes().begin() + 1, own.sizes().end(), int64_t{1}, std::multiplies<>());
    if (row_bytes > INT_MAX) reject("World::gather: expected rows below 2 GiB, got {} bytes", row_bytes);

    const int64_t shape[2] = {own.size(0), row_bytes};
    std::vector<int64_t> shapes(2 * static_cast<size_t>(size_));
    check(MPI_Allgather(shape, 2, MPI_INT64_T, shapes.data(), 2, MPI_INT64_T, MPI_COMM_WORLD),
          "MPI_Allgather");
    std::vector<int> counts, places;
    int64_t total = 0;
    for (size_t r = 0; r < shapes.size(); r += 2) {
      if (shapes[r + 1] != row_bytes)  // on all ranks alike, so that none waits
        reject("World::gather: expected rows of one size, got {} and {} bytes", row_bytes, shapes[r + 1]);
      counts.push_back(static_cast<int>(shapes[r]));
      places.push_back(static_cast<int>(total));
      total += shapes[r];
    }
    if (total > INT_MAX) reject("World::gather: expected up to {} rows, got {}", INT_MAX, total);

    std::vector<int64_t> sizes = own.sizes().vec();
    sizes[0] = total;
    at::Tensor all = at::empty(sizes, own.options());
    MPI_Datatype row;
    check(MPI_Type_contiguous(static_cast<int>(row_bytes), MPI_BYTE, &row), "MPI_Type_contiguous");
    check(MPI_Type_commit(&row), "MPI_Type_commit");
    const int status = MPI_Allgatherv(own.const_data_ptr(), static_cast<int>(own.size(0)), row,
                                      all.data_ptr(), counts.data(), places.data(), row, MPI_COMM_WORLD);
    MPI_Type_free(&row);
    check(status, "MPI_Allgatherv");
    return all;
  }

  void reduce(at::Tensor& tensor) override {
    if (!tensor.is_cpu())
      reject("World::reduce: expected a tensor on the CPU, got {}", tensor.device().str());
    at::NoGradGuard no_grad;
    const bool narrow = tensor.scalar_type() == at::kHalf || tensor.scalar_type() == at::kBFloat16;
    at::Tensor sum = (narrow ? tensor.to(at::kFloat) : tensor).contiguous();
    const MPI_Datatype type = type_of(sum);
    constexpr int64_t kMost = int64_t{1} << 28;  // elements of one call
    auto* data = static_cast<char*>(sum.data_ptr());
    for (int64_t begin = 0; begin < sum.numel(); begin += kMost) {
      const auto count = static_cast<int>(std::min(kMost, sum.numel() - begin));
      check(MPI_Allreduce(MPI_IN_PLACE, data + begin * static_cast<int64_t>(sum.element_size()), count, type,
                          MPI_SUM, MPI_COMM_WORLD),
            "MPI_Allreduce");
    }
    if (!sum.is_same(tensor)) tensor.copy_(sum);
  }

 private:
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
