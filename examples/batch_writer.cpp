// Rows go into SQLite in batches, and none that was acknowledged is lost, whenever kill -9 comes: a writer is killed in
// the middle of its work, and what it has acknowledged is looked for. And the naive one.
#include <runnel/patterns/batcher.hpp>
#include <runnel/patterns/reply.hpp>
#include <runnel/runnel.hpp>

#include <cstdio>
#include <filesystem>
#include <stdexcept>
#include <string>

#include <sqlite3.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {
using database = std::unique_ptr<sqlite3, decltype([](sqlite3* db) { sqlite3_close(db); })>;
database open(const std::string& path) {
  sqlite3* opened = nullptr;
  const int status = sqlite3_open(path.c_str(), &opened);
  database db(opened);  // to be closed in any case
  return status == SQLITE_OK ? std::move(db) : throw std::runtime_error("cannot open " + path);
}
/// Returns how many rows it has found.
int execute(const database& db, const std::string& sql) {
  int rows = 0;
  const auto count = [](void* n, int, char**, char**) { return ++*static_cast<int*>(n), 0; };
  const int status = sqlite3_exec(db.get(), sql.c_str(), count, &rows, nullptr);
  return status == SQLITE_OK ? rows : throw std::runtime_error(sqlite3_errmsg(db.get()));
}

struct row { int id; runnel::reply<runnel::unit> committed; };

/// One statement is one transaction. SQLite blocks its thread: one of the pool for that, while the fiber waits.
void insert(const database& db, std::vector<row>& batch) {
  std::string sql = "INSERT INTO rows VALUES";
  for (const row& r : batch) sql += (&r == &batch[0] ? " (" : ", (") + std::to_string(r.id) + ")";
  runnel::blocking([&] { execute(db, sql); });
  for (row& r : batch) r.committed({});  // not before
}
void refuse(std::vector<row>&& batch, std::exception_ptr why) {
  for (row& r : batch) r.committed.fail(why);
}
void acknowledge(int pipe, int id) {
  if (write(pipe, &id, sizeof id) != sizeof id) throw std::runtime_error("nobody listens");
}
/// Each adds a row, waits until it is committed, and goes on to the next.
void many_clients(runnel::batcher<row>& rows, int pipe) {
  runnel::with_task_group([&](runnel::task_group& clients) {
    for (int client = 0; client < 64; ++client)
      clients.go([&rows, pipe, client] {
        for (int id = client;; id += 64) {
          auto [committed, answer] = runnel::make_question<runnel::unit>();
          rows.add({id, std::move(committed)});
          answer.get();  // throws what the insert has thrown
          acknowledge(pipe, id);
        }
      });
  });
}
/// What is written first: the batcher has the row, so it is as good as written.
void naive(runnel::batcher<row>& rows, int pipe) {
  for (int id = 0; id < 250; acknowledge(pipe, id++)) rows.add({id, runnel::make_question<runnel::unit>().reply});
  runnel::sleep_for(std::chrono::hours(1));  // no more for now, and the batch is not full
}

/// Has a process write, kills it after so many acknowledgements, and counts those whose row is not there exactly once.
int lost(std::size_t acknowledgements, void (*clients)(runnel::batcher<row>&, int)) {
  const auto path = std::filesystem::temp_directory_path() / ("runnel_" + std::to_string(getpid()));
  std::filesystem::create_directory(path);
  int pipe[2], lost = 0;
  if (::pipe(pipe) != 0) throw std::runtime_error("no pipe");
  const pid_t writer = fork();
  if (writer == 0)
    _exit(runnel::run([&] {
      close(pipe[0]);  // so that it ends with its parent
      const database db = open(path / "db");
      execute(db, "CREATE TABLE rows(id INTEGER)");
      runnel::batcher<row> rows([&](std::vector<row>& batch) { insert(db, batch); }, {.size = 32, .on_failure = refuse});
      clients(rows, pipe[1]);
    }));
  close(pipe[1]);
  std::vector<int> acknowledged;
  for (int id; read(pipe[0], &id, sizeof id) == sizeof id; acknowledged.push_back(id))  // until the writer is gone
    if (acknowledged.size() + 1 == acknowledgements) kill(writer, SIGKILL);
  close(pipe[0]);
  waitpid(writer, nullptr, 0);
  if (acknowledged.size() < acknowledgements) throw std::runtime_error("the writer has failed");
  const database db = open(path / "db");
  for (int id : acknowledged) lost += execute(db, "SELECT id FROM rows WHERE id = " + std::to_string(id)) != 1;
  std::filesystem::remove_all(path);
  return lost;
}
}  // namespace

int main() {
  std::printf("acknowledged when committed: %d of 1000 and more are lost\n", lost(1000, many_clients));
  std::printf("acknowledged when added: %s\n", lost(250, naive) > 0 ? "some are lost" : "none is lost");
}
