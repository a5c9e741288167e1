import Foundation
import Testing

/// Counts what the built program allocates, by a small library that stands before malloc.
@Suite("Allocations") struct AllocationTests {
  /// The library, in C: the only language that can stand there. It writes the count when the program ends.
  private static let counter = """
    #define _GNU_SOURCE
    #include <stdio.h>
    #include <stdlib.h>
    #include <fcntl.h>
    #include <unistd.h>

    extern void *__libc_malloc(size_t);
    extern void *__libc_calloc(size_t, size_t);
    extern void *__libc_realloc(void *, size_t);
    extern void *__libc_memalign(size_t, size_t);

    static unsigned long count;
    static void add(void) { __atomic_fetch_add(&count, 1, __ATOMIC_RELAXED); }

    void *malloc(size_t n) { add(); return __libc_malloc(n); }
    void *calloc(size_t n, size_t m) { add(); return __libc_calloc(n, m); }
    void *realloc(void *p, size_t n) { add(); return __libc_realloc(p, n); }
    void *aligned_alloc(size_t a, size_t n) { add(); return __libc_memalign(a, n); }
    int posix_memalign(void **p, size_t a, size_t n) { add(); *p = __libc_memalign(a, n); return *p ? 0 : 12; }

    __attribute__((destructor)) static void tell(void) {
      const char *path = getenv("ALLOCATION_COUNT");
      int file = path ? open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600) : -1;
      if (file < 0) return;
      char text[32];
      int length = snprintf(text, sizeof text, "%lu", count);
      if (write(file, text, length) != length) _exit(9);
      close(file);
    }
    """

  /// What a batch may cost: it is handed over, counted and reset, whatever its lines are.
  private static let perBatch = 100
  private static let linesPerBatch = 8192

  /// Without optimisation the compiler boxes on every line what it later proves to need no box.
  private static var program: String? {
    #if DEBUG
      Sandbox.optimised
    #else
      Sandbox.program
    #endif
  }
  private static let compiler = ["/usr/bin/cc", "/usr/bin/clang", "/usr/bin/gcc"]
    .first { FileManager.default.isExecutableFile(atPath: $0) }

  @Test(
    "a line like lines before it allocates nothing",
    .enabled(if: program != nil, "needs `swift test -c release`, or an optimised program in GATEWATCH_OPTIMISED"),
    .enabled(if: compiler != nil, "needs a C compiler"),
    arguments: [
      "envoy/I6-istio-1.23.log", "envoy/json-typed-istio-1.8.log", "demo/squid.log", "demo/nginx-sni-proxy.log",
    ])
  func none(log: String) throws {
    let sandbox = try Sandbox()
    try sandbox.write(Self.counter, to: "counter.c")
    let built = try sandbox.shell("\(try #require(Self.compiler)) -shared -fPIC -o counter.so counter.c")
    try #require(built.status == 0, "\(built.errors)")
    let lines = try Data(contentsOf: SampleCase.root.appending(path: log))
    let count = lines.count { $0 == 0x0A }
    let repeats = 20_000 / count
    for (name, times) in [("one.log", repeats), ("three.log", 3 * repeats)] {
      var text = Data(capacity: times * lines.count)
      for _ in 0..<times { text.append(lines) }
      try text.write(to: URL(filePath: sandbox.path(name)))
    }
    // A second thread, with dictionaries of its own, may come to a line in one of the runs and to none in the other.
    func allocations(_ log: String) throws -> Int {
      let run = try sandbox.shell(
        """
        ALLOCATION_COUNT=count.txt LD_PRELOAD=./counter.so \(try #require(Self.program)) ingest --dry-run --threads 1 \(log)
        """)
      try #require(run.status == 0, "\(run.errors)")
      let text = try String(contentsOfFile: sandbox.path("count.txt"), encoding: .utf8)
      return try #require(Int(text))
    }
    let more = try allocations("three.log") - allocations("one.log")
    let batches = 2 * repeats * count / Self.linesPerBatch + 1
    #expect(more <= batches * Self.perBatch, "\(more) more allocations for \(2 * repeats * count) more lines")
  }
}
