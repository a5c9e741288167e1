internal import Foundation

/// The temporary folder with the yardsticks, built from their sources, and the data, made by the generator.
struct Workshop {
  let folder: String
  let gatewatch: String
  private let isKept: Bool

  /// - Parameter data: a folder to keep and to use again; nil for a temporary one.
  init(gatewatch: String?, data: String?) throws {
    isKept = data != nil
    folder =
      data ?? FileManager.default.temporaryDirectory.appending(path: "gatewatch-benchmarks-\(getpid())").path
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    self.gatewatch = try gatewatch ?? Workshop.builtGatewatch()
    for (name, libraries) in Workshop.yardsticks {
      try build(name, libraries: libraries)
    }
  }

  func remove() {
    if !isKept { try? FileManager.default.removeItem(atPath: folder) }
  }

  func path(_ name: String) -> String { folder + "/" + name }

  // MARK: Programs

  private static let yardsticks: [(name: String, libraries: [String])] = [
    ("gen", ["-lm"]), ("tojson", []), ("nexthop", []), ("tok", ["-lpthread"]), ("sqlb", ["-lsqlite3", "-lm"]),
    ("e2e", ["-lsqlite3", "-lpthread", "-lm"]), ("inflate", ["-lz"]),
  ]

  /// The folder of this package.
  static let package = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent()

  private func build(_ name: String, libraries: [String]) throws(BenchmarkError) {
    var libraries = libraries
    for (header, library) in [("libdeflate.h", "-ldeflate"), ("isa-l/igzip_lib.h", "-lisal")]
    where name == "inflate" && FileManager.default.fileExists(atPath: "/usr/include/\(header)") {
      libraries.append(library)
    }
    guard let compiler = Command.found("cc") ?? Command.found("gcc") ?? Command.found("clang") else {
      throw BenchmarkError("no C compiler found: the yardsticks need one (apt-get install gcc)")
    }
    let source = Workshop.package.appending(path: "Yardsticks/\(name).c").path
    try Command(compiler, ["-O3", "-march=native", "-w", "-o", path(name), source] + libraries).run()
  }

  /// Gatewatch itself, built as a user would build it.
  private static func builtGatewatch() throws(BenchmarkError) -> String {
    let root = package.deletingLastPathComponent().deletingLastPathComponent().path
    Progress.show("building gatewatch")
    try Command(
      "swift", "build", "-c", "release", "--static-swift-stdlib", "--product", "gatewatch", "--package-path", root
    ).run()
    return root + "/.build/release/gatewatch"
  }

  // MARK: Data

  /// `kind` is one of the generator's; made once, and read once so that it lies in the page cache.
  /// - Parameter startMs: Unix milliseconds from which on a line comes every tenth of a second; nil for a day of lines.
  func log(_ kind: String, lines: Int, seed: Int = 7, startMs: Int64? = nil) throws(BenchmarkError) -> String {
    let file = path("\(kind)-\(lines)-\(seed)" + (startMs.map { "-\($0)" } ?? "") + ".log")
    if !FileManager.default.fileExists(atPath: file) {
      Progress.show("making \(lines) lines of \(kind)")
      let times = startMs.map { ["100000", "\($0 * 1000)"] } ?? []
      try Command(path("gen"), [kind, "\(lines)", "\(seed)"] + times).run(output: file)
    }
    try Command("cat", file).run()
    return file
  }

  /// A folder with the log of the mesh's sidecars, and that of their gateway: nearly every request has a line in both.
  /// - Parameters:
  ///   - lines: of the sidecars.
  ///   - perMinute: lines of both; nil for a day of a million, or eight of more.
  func twoHops(lines: Int, perMinute: Int? = nil) throws(BenchmarkError) -> String {
    let folder = path("twohops-\(lines)" + (perMinute.map { "-\($0)" } ?? ""))
    let gateway = folder + "/gateway.log"
    if !FileManager.default.fileExists(atPath: gateway) {
      try? FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
      let sidecars = folder + "/sidecars.log"
      Progress.show("making \(lines) lines of two hops")
      let between = perMinute.map { ["\(2 * 60_000_000 / $0)"] } ?? []
      try Command(path("gen"), ["mesh", "\(lines)", "7"] + between).run(output: sidecars)
      try Command(path("nexthop"), sidecars).run(output: gateway)
    }
    for log in ["sidecars.log", "gateway.log"] { try Command("cat", folder + "/" + log).run() }
    return folder
  }

  func json(_ log: String) throws(BenchmarkError) -> String {
    let file = log.replacing(".log", with: ".json.log")
    if !FileManager.default.fileExists(atPath: file) { try Command(path("tojson"), log).run(output: file) }
    return file
  }

  func gzip(_ log: String) throws(BenchmarkError) -> String {
    let file = log + ".gz"
    if !FileManager.default.fileExists(atPath: file) { try Command("gzip", "-6", "-c", log).run(output: file) }
    return file
  }

  /// A database that is not there yet.
  func freshDatabase(_ name: String = "work") -> String {
    let file = path(name + ".db")
    for suffix in ["", "-wal", "-shm", ".lock", "-journal"] {
      try? FileManager.default.removeItem(atPath: file + suffix)
    }
    try? FileManager.default.removeItem(atPath: file + ".folder")
    return file
  }

  func size(_ file: String) -> Double {
    let attributes = try? FileManager.default.attributesOfItem(atPath: file)
    return Double((attributes?[.size] as? NSNumber)?.int64Value ?? 0)
  }
}

/// What happens at the moment, on standard error.
enum Progress {
  static func show(_ text: String) {
    FileHandle.standardError.write(Data("benchmarks: \(text)\n".utf8))
  }
}
