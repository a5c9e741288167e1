internal import CZlib
internal import EgressPolicy
public import Flows
internal import Glibc

/// A file with a snapshot of a cluster, plain or gzipped, read as a whole: JSON says only at its end whether it is whole.
public enum TopologyFile {
  /// Bytes of JSON: ten times what a cluster of 5,000 pods writes with all managed fields.
  public static let sizeLimit = 1 << 30
  private static let chunkSize = 1 << 18

  /// The moment of the snapshot is `atMs`, else the newest that the cluster wrote into its objects, else the file's.
  ///
  /// - Parameters:
  ///   - path: `-` for standard input.
  ///   - nowMs: the present; what the cluster dates later is not believed.
  public static func read(_ path: String, atMs: Int64?, nowMs: Int64) throws -> ClusterSnapshot {
    let descriptor = path == "-" ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY)
    guard descriptor >= 0 else { throw TopologyFileError(path: path, message: "cannot open: \(systemMessage(errno))") }
    defer { if path != "-" { close(descriptor) } }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else {
      throw TopologyFileError(path: path, message: "cannot open: \(systemMessage(errno))")
    }
    guard status.st_mode & S_IFMT != S_IFDIR else {
      throw TopologyFileError(path: path, message: "is a folder; name the files in it")
    }
    let bytes = try content(of: descriptor, path: path, expected: Int(clamping: status.st_size))
    let dump = try ClusterDump(bytes, file: path, notAfterMs: nowMs)
    let modified = Int64(status.st_mtim.tv_sec) * 1000 + Int64(status.st_mtim.tv_nsec) / 1_000_000
    let (moment, origin): (Int64, String) =
      if let atMs {
        (atMs, "--at")
      } else if let newest = dump.newestMs {
        (newest, "the newest time in it")
      } else if status.st_mode & S_IFMT == S_IFREG {
        (modified, "the file's time")
      } else {
        (nowMs, "the present")
      }
    return ClusterSnapshot(
      atMs: moment, timeFrom: origin, file: path, objects: dump.objects, kinds: dump.kinds, scopes: dump.scopes)
  }

  private static func content(of descriptor: Int32, path: String, expected: Int) throws -> [UInt8] {
    var content: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: chunkSize)
    var output = [UInt8](repeating: 0, count: chunkSize)
    var inflater: Inflater?
    var isFirst = true
    while true {
      // A pipe may give its first bytes one by one.
      let count = try fill(&chunk, atLeast: isFirst ? 2 : 1, from: descriptor, path)
      if count == 0 { break }
      if isFirst {
        isFirst = false
        if count > 1, chunk[0] == 0x1F, chunk[1] == 0x8B { inflater = Inflater() }
        if inflater == nil { content.reserveCapacity(min(expected, sizeLimit)) }
      }
      guard let inflater else {
        content.append(contentsOf: chunk[..<count])
        try requireSize(content.count, path)
        continue
      }
      var taken = 0
      while true {
        let step: (taken: Int, given: Int)
        do {
          step = try chunk[taken..<count].withUnsafeBytes { input in
            try output.withUnsafeMutableBytes { room in try inflater.inflate(input, into: room) }
          }
        } catch let error as ReadError {
          throw TopologyFileError(path: path, message: error.message)
        }
        taken += step.taken
        content.append(contentsOf: output[..<step.given])
        try requireSize(content.count, path)
        if step.given == 0 { break }
      }
    }
    switch inflater?.end {
    case nil, .complete: return content
    case .incomplete: throw TopologyFileError(path: path, message: "the gzip data ends too early")
    case .trailingGarbage(let place):
      throw TopologyFileError(path: path, message: "what follows byte \(place) is no gzip data")
    }
  }

  /// Reads until `least` bytes are there, or the end is reached.
  private static func fill(
    _ chunk: inout [UInt8], atLeast least: Int, from descriptor: Int32, _ path: String
  ) throws(TopologyFileError) -> Int {
    var filled = 0
    while filled < least {
      let count = chunk.withUnsafeMutableBytes { Glibc.read(descriptor, $0.baseAddress! + filled, $0.count - filled) }
      if count < 0, errno == EINTR { continue }
      guard count >= 0 else { throw TopologyFileError(path: path, message: "cannot read: \(systemMessage(errno))") }
      if count == 0 { break }
      filled += count
    }
    return filled
  }

  private static func requireSize(_ count: Int, _ path: String) throws(TopologyFileError) {
    guard count <= sizeLimit else {
      throw TopologyFileError(
        path: path, message: "is larger than \(sizeLimit >> 20) MiB; write fewer kinds, or one namespace, per file")
    }
  }
}

/// A file that cannot be read at all.
public struct TopologyFileError: Error, Sendable, CustomStringConvertible {
  public var path: String
  public var message: String
  public var description: String { "\(path): \(message)" }
}
