import FlowStore
import Flows
import Foundation
import Glibc
import Testing

@testable import Ingestion

/// A folder with logs and a database of its own, removed with the last reference.
///
/// Lines are Squid's native format, made from a number that comes back as the flow's received bytes: so that a test can
/// ask which lines are stored.
final class Scene {
  let folder: String
  var database: String { folder + "/store/flows.db" }
  var options: IngestOptions

  init() throws {
    var template = Array((NSTemporaryDirectory() + "gatewatch-ingest-XXXXXX").utf8CString)
    folder = String(cString: try #require(mkdtemp(&template)))
    // A clock of the tests' own: an hour ahead with each look would also be right.
    options = IngestOptions(nowMs: { 1_795_000_000_000 }, seconds: { 0 })
    try FileManager.default.createDirectory(atPath: folder + "/store", withIntermediateDirectories: true)
    options.database = database
    options.threads = 2
  }

  deinit { try? FileManager.default.removeItem(atPath: folder) }

  func path(_ name: String) -> String { folder + "/" + name }

  // MARK: Files

  static func line(_ number: Int) -> String {
    let milliseconds = String(1000 + number % 1000).dropFirst()
    return
      "\(1_795_000_000 + number / 1000).\(milliseconds)     12 10.80.3.11 TCP_MISS/200 \(number) GET http://www.example.com/\(number) - HIER_DIRECT/203.0.113.7 text/html\n"
  }

  static func lines(_ numbers: some Sequence<Int>) -> [UInt8] {
    Array(numbers.map { line($0) }.joined().utf8)
  }

  func write(_ name: String, _ numbers: some Sequence<Int>) throws {
    try write(name, bytes: Scene.lines(numbers))
  }

  /// A new file (a new inode), also where there was one.
  func write(_ name: String, bytes: [UInt8]) throws {
    let path = path(name)
    try FileManager.default.createDirectory(
      atPath: (path as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
    unlink(path)
    try put(path, bytes, O_WRONLY | O_CREAT | O_TRUNC)
  }

  /// The same file with other content.
  func overwrite(_ name: String, bytes: [UInt8]) throws { try put(path(name), bytes, O_WRONLY | O_TRUNC) }

  func append(_ name: String, _ numbers: some Sequence<Int>) throws {
    try append(name, bytes: Scene.lines(numbers))
  }

  func append(_ name: String, bytes: [UInt8]) throws { try put(path(name), bytes, O_WRONLY | O_APPEND) }

  private func put(_ path: String, _ bytes: [UInt8], _ flags: Int32) throws {
    let descriptor = open(path, flags, 0o600)
    try #require(descriptor >= 0, "\(path)")
    defer { close(descriptor) }
    var done = 0
    while done < bytes.count {
      let count = bytes[done...].withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
      try #require(count > 0)
      done += count
    }
  }

  func rename(_ name: String, to other: String) { Glibc.rename(path(name), path(other)) }
  func truncate(_ name: String, to size: Int) { Glibc.truncate(path(name), off_t(size)) }
  func remove(_ name: String) { unlink(path(name)) }

  func read(_ name: String) throws -> [UInt8] { Array(try Data(contentsOf: URL(fileURLWithPath: path(name)))) }

  /// As `gzip NAME` does: a new file beside, the old one gone.
  func gzip(_ name: String, to other: String? = nil) throws {
    let packed = Gzip.compress(try read(name))
    remove(name)
    try write(other ?? name + ".gz", bytes: packed)
  }

  // MARK: Runs

  @discardableResult
  func ingest(_ names: String..., isFinal: Bool = false) throws -> IngestSummary {
    try ingest(names, isFinal: isFinal)
  }

  @discardableResult
  func ingest(
    _ names: [String], isFinal: Bool = false, progress: ((IngestProgress) -> Void)? = nil
  ) throws -> IngestSummary {
    var options = options
    options.isFinal = isFinal
    let store = try FlowStore(path: database)
    defer { store.close() }
    let summary = try IngestPipeline(store: store, options: options, progress: progress)
      .run(paths: names.map { $0.hasPrefix("/") || $0 == "-" ? $0 : path($0) }, policy: nil)
    expectSumsAgree(summary)
    return summary
  }

  private func expectSumsAgree(_ summary: IngestSummary) {
    let lines = summary.lines
    #expect(lines.read == lines.stored + lines.rejected + lines.skipped)
    #expect(summary.rejected.values.reduce(0, +) == lines.rejected)
    #expect(summary.skipped.values.reduce(0, +) == lines.skipped)
    #expect(summary.files.map(\.read).reduce(0, +) == lines.read)
    #expect(summary.files.map(\.stored).reduce(0, +) == lines.stored)
    for file in summary.files {
      #expect(file.read == file.stored + file.rejected + file.skipped)
      #expect(file.from <= file.to)
    }
  }

  /// Numbers of the stored lines, sorted; a line stored twice is there twice.
  func stored() throws -> [Int] {
    try numbers("select received from flow").sorted()
  }

  func numbers(_ sql: String) throws -> [Int] {
    var result: [Int] = []
    let reader = try FlowReader(path: database)
    try reader.query(sql) { row in
      if case .integer(let number) = row[0] { result.append(Int(number)) }
    }
    return result
  }

  /// Each log of the store as `file name|generation|position|lines`.
  func logs() throws -> [String] {
    let store = try FlowStore(path: database)
    defer { store.close() }
    return try store.logs().map {
      "\(($0.path as NSString).lastPathComponent)|\($0.generation)|\($0.position)|\($0.lines)"
    }
  }
}

extension Scene {
  func gzipCopy(_ name: String, _ other: String, of numbers: ClosedRange<Int>) throws {
    try write(other, bytes: Gzip.compress(Scene.lines(numbers)))
  }

  func setModificationTime(_ name: String, seconds: Int) throws {
    var times = [timeval(tv_sec: seconds, tv_usec: 0), timeval(tv_sec: seconds, tv_usec: 0)]
    try #require(utimes(path(name), &times) == 0)
  }

  func link(_ name: String, to other: String) throws {
    try #require(symlink(path(other), path(name)) == 0)
  }
}

extension Scene {
  func texts(_ sql: String) throws -> [String] {
    var result: [String] = []
    try FlowReader(path: database).query(sql) { row in
      if case .text(let text) = row[0] { result.append(text) }
    }
    return result
  }
}
