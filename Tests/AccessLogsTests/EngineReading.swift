import Flows
import Foundation

@testable import AccessLogs

/// What a parser said of some bytes, with every id replaced by what it stands for.
struct EngineReading: Equatable {
  struct Flow: Equatable {
    var startedAtMs: Int64
    var durationMs: Int64
    var sent: Int64
    var received: Int64
    var requestHash: UInt64
    var line: Int64
    var sourcePort: UInt16
    var localPort: UInt16
    var source: Source
    var destination: Destination
    var outcome: Outcome
    var pathTemplate: String?
  }

  var flows: [Flow] = []
  var rejected: [String: Int] = [:]
  var rejectedLines: [RejectedLine] = []
  var skipped: [String: Int] = [:]
  var formats: [String: Int] = [:]
  var nextLine: Int64 = 1
  var carry: [UInt8] = []

  var linesRead: Int { flows.count + rejected.values.reduce(0, +) + skipped.values.reduce(0, +) }
}

/// Feeds a parser as a reader of files does: chunk by chunk, what was not consumed in front of the next chunk.
///
/// The memory behind what the parser is given is filled with bytes that would change the answer if they were believed.
final class EngineFeed {
  let parser: LineParser
  private let batch: FlowBatch
  private var unread: [UInt8] = []
  private var sources: [Source] = []
  private var destinations: [Destination] = []
  private var outcomes: [Outcome] = []
  private var templates: [String] = []
  private(set) var reading = EngineReading()
  private(set) var batches = 0

  init(_ parser: LineParser = LineParser(), capacity: Int = 512, log: LogContext = LogContext(ordinal: 1)) {
    self.parser = parser
    batch = FlowBatch(capacity: capacity)
    parser.begin(log: log)
  }

  func read(_ bytes: some Sequence<UInt8>, isFinal: Bool = false) {
    unread += bytes
    var place = 0
    while true {
      let rest = unread.count - place
      var given = Array(unread[place...])
      given.append(contentsOf: repeatElement(ASCII.quote, count: LineParser.slack))
      let consumed = given.withUnsafeBytes {
        parser.parse(UnsafeRawBufferPointer(rebasing: $0[..<rest]), isFinal: isFinal, into: batch)
      }
      precondition(consumed <= rest, "more was consumed than given")
      place += consumed
      let isStopped = place < unread.count && (isFinal || unread[place...].contains(ASCII.newline))
      if isStopped { precondition(!batch.isEmpty, "the parser reads no line into an empty batch") }
      take()
      if !isStopped { break }
    }
    unread.removeFirst(place)
    reading.nextLine = parser.nextLine
    reading.carry = parser.carry
  }

  private func take() {
    guard !batch.isEmpty else { return }
    batches += 1
    precondition(batch.count <= batch.capacity)
    keep(&sources, batch.newSources, from: batch.firstNewSource)
    keep(&destinations, batch.newDestinations, from: batch.firstNewDestination)
    keep(&outcomes, batch.newOutcomes, from: batch.firstNewOutcome)
    keep(&templates, batch.newPathTemplates, from: batch.firstNewPathTemplate)
    for index in 0..<batch.count {
      let row = batch.rows[index]
      reading.flows.append(
        EngineReading.Flow(
          startedAtMs: row.startedAtMs, durationMs: row.durationMs, sent: row.sent, received: row.received,
          requestHash: row.requestHash, line: row.line, sourcePort: row.sourcePort, localPort: row.localPort,
          source: sources[Int(row.source)], destination: destinations[Int(row.destination)],
          outcome: outcomes[Int(row.outcome)],
          pathTemplate: row.pathTemplate < 0 ? nil : templates[Int(row.pathTemplate)]))
    }
    reading.rejected.merge(batch.rejectedByReason, uniquingKeysWith: +)
    reading.skipped.merge(batch.skippedByKind, uniquingKeysWith: +)
    reading.formats.merge(batch.storedByFormat, uniquingKeysWith: +)
    reading.rejectedLines += batch.rejected
    precondition(batch.rejectedCount == batch.rejectedByReason.values.reduce(0, +))
    precondition(batch.skippedCount == batch.skippedByKind.values.reduce(0, +))
    precondition(batch.count == batch.storedByFormat.values.reduce(0, +))
    batch.reset()
  }

  private func keep<Entry>(_ known: inout [Entry], _ new: [Entry], from first: Int32) {
    precondition(Int(first) <= known.count, "ids were left out")
    known.removeLast(known.count - Int(first))
    known += new
  }

  /// The answer to `bytes` as one final chunk.
  static func read(
    _ bytes: some Sequence<UInt8>, formats: [FormatPlan] = FormatPlan.builtIn, log: LogContext = LogContext(ordinal: 1)
  ) -> EngineReading {
    let feed = EngineFeed(LineParser(formats: formats), log: log)
    feed.read(bytes, isFinal: true)
    return feed.reading
  }

  static func read(_ text: String, log: LogContext = LogContext(ordinal: 1)) -> EngineReading {
    read(Array(text.utf8), log: log)
  }
}

/// Calls `body` with the bytes as a slice of memory that has the slack the engine asks for.
func withSlice<Answer>(_ bytes: some Sequence<UInt8>, _ body: (Slice) throws -> Answer) rethrows -> Answer {
  var memory = Array(bytes)
  let count = memory.count
  memory += Array(repeating: ASCII.nine, count: LineParser.slack)
  return try memory.withUnsafeBufferPointer { try body(Slice($0.baseAddress!, $0.baseAddress! + count)) }
}

/// The fields of lines side by side, as a parser has them.
final class LaneFields {
  let slices: UnsafeMutablePointer<Slice>
  let numbers: UnsafeMutablePointer<Int64>
  let fields: UnsafeMutablePointer<Fields>
  let count: Int

  init(_ count: Int = 1) {
    self.count = count
    slices = .allocate(capacity: count * Fields.slots)
    numbers = .allocate(capacity: count * Fields.slots)
    fields = .allocate(capacity: count)
    for lane in 0..<count {
      (fields + lane).initialize(to: Fields(slices + lane * Fields.slots, numbers + lane * Fields.slots))
    }
  }

  deinit {
    fields.deinitialize(count: count).deallocate()
    slices.deallocate()
    numbers.deallocate()
  }

  /// What a plan's columns hold, as texts and numbers.
  func values(_ lane: Int, _ roles: RoleSet) -> [String] {
    FieldRole.allCases.filter { roles.contains($0) && $0 != .ignored }.map {
      "\($0)=\(fields[lane][$0].string) \(fields[lane].number($0))"
    }
  }
}

/// The lines of all sample logs, and formats of the samples that bring their own.
enum SampleLines {
  static let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent().appending(path: "SampleLogs")

  /// The logs in the order of their names; each as it lies on disk.
  static let logs: [(name: String, bytes: [UInt8])] = {
    let paths = FileManager.default.enumerator(atPath: folder.path)?.compactMap { $0 as? String } ?? []
    return paths.filter { $0.hasSuffix(".log") }.sorted().map { path in
      (path, Array((try? Data(contentsOf: folder.appending(path: path))) ?? Data()))
    }
  }()

  static let all: [[UInt8]] = logs.flatMap {
    $0.bytes.split(separator: ASCII.newline, omittingEmptySubsequences: false).map(Array.init)
  }
}
