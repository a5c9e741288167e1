internal import Flows

/// What a run did, line by line accounted for; encoded as JSON it is the contract of `ingest --format json`.
public struct IngestSummary: Codable, Sendable, Equatable {
  /// `read == stored + rejected + skipped`, always.
  public struct Lines: Codable, Sendable, Equatable {
    public var read = 0
    public var stored = 0
    public var rejected = 0
    public var skipped = 0
  }
  public struct File: Codable, Sendable, Equatable {
    public var path: String
    /// Formats met, comma-joined; empty while no line was understood.
    public var format: String
    /// Roles of the proxies that wrote it, comma-joined.
    public var role: String
    public var read: Int
    public var stored: Int
    public var rejected: Int
    public var skipped: Int
    /// First byte read, of the decompressed content.
    public var from: Int64
    /// Byte after the last one read.
    public var to: Int64
    /// Bytes of a last line that is not finished yet.
    public var pending: Int64
  }

  public var lines = Lines()
  public var rejected: [String: Int] = [:]
  public var skipped: [String: Int] = [:]
  public var files: [File] = []
  public var seconds: Double = 0

  // What follows is for people, not part of the JSON.

  /// The first lines rejected for each reason, as `path:line`.
  public var rejectedPlaces: [String: [String]] = [:]
  public var problems: [IngestProblem] = []
  /// The signal that ended the run early.
  public var stoppedBy: Int32?

  private enum CodingKeys: String, CodingKey {
    case lines, rejected, skipped, files, seconds
  }

  public init() {}

  public var hasErrors: Bool { problems.contains { $0.kind == .error } }

  mutating func add(_ file: File, _ tally: Tally) {
    files.append(file)
    lines.read += tally.read
    lines.stored += tally.stored
    lines.rejected += tally.rejected
    lines.skipped += tally.skipped
    rejected.merge(tally.rejectedByReason, uniquingKeysWith: +)
    skipped.merge(tally.skippedByKind, uniquingKeysWith: +)
    for (reason, lines) in tally.firstRejected {
      let room = max(0, Tally.maxPlaces - rejectedPlaces[reason, default: []].count)
      rejectedPlaces[reason, default: []] += lines.prefix(room).map { "\(file.path):\($0.line)" }
    }
  }
}
