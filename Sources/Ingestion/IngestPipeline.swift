internal import AccessLogs
public import EgressPolicy
public import FlowStore
internal import Flows
internal import Glibc

/// Carries logs into the store: finds the files, reads on where the last run stopped, and commits flows together with
/// the reading positions.
///
///     let pipeline = IngestPipeline(store: store, options: options)
///     let summary = try pipeline.run(paths: ["/var/log/pods", "squid.log*"], policy: nil)
///
/// One run per pipeline.
public final class IngestPipeline {
  /// Among the paths, stands for standard input.
  public static let standardInput = Discovery.standardInput

  private let store: FlowStore?
  private let options: IngestOptions
  private let progress: ((IngestProgress) -> Void)?
  private var registry = LogRegistry([])
  /// What is known so far; of a run that the store ended, too.
  public private(set) var summary = IngestSummary()
  /// Ordinal of the log behind each entry of `summary.files`; nil for files without one.
  private var ordinals: [Int64?] = []
  private var handled: Set<FileIdentity> = []
  /// Were found, and not there any more when it was their turn.
  private var gone: [Discovery.Found] = []
  private var queued: Set<FileIdentity> = []
  /// Found, and not to be opened; and what was looked at.
  private var unopened: [String] = []
  private var visited = VisitedPlaces([], FullPaths())
  /// As somebody wrote them.
  private var named: Set<String> = []
  private var bytesDone: Int64 = 0
  private var bytesTotal: Int64 = 0
  private var began: Double = 0
  /// What is being read may have to be told from later files, of this run or another.
  private var isCompared = true
  /// Stands in for `OrdinaryTraffic`: a test has one that errs.
  var sieveInstead: (any FlowSieve)?

  /// - Parameter store: nil for a dry run: everything is read from its beginning, and nothing kept.
  public init(store: FlowStore?, options: IngestOptions, progress: ((IngestProgress) -> Void)? = nil) {
    self.store = store
    self.options = options
    self.progress = progress
  }

  /// Reads `paths` (files, patterns, folders, `-`), judges what is new, and commits.
  ///
  /// Inputs that cannot be read are reported in the summary; only a store that fails ends the run.
  public func run(paths: [String], policy: Policy?) throws(StoreError) -> IngestSummary {
    began = options.seconds()
    named = Set(paths)
    let discovery = Discovery(paths: paths, database: options.database)
    summary.problems = discovery.problems
    unopened = discovery.unopened
    queued = Set(discovery.found.compactMap(\.identity))
    bytesTotal = discovery.found.reduce(0) { $0 + Discovery.size(of: $1.name.path) }
    registry = LogRegistry(try logs())
    visited = registry.places(of: paths)
    visited.opened.formUnion(discovery.listed.compactMap(registry.fullPath))
    let newBytes = registry.newBytes(in: discovery.found)
    if newBytes > 0, newBytes <= IngestPipeline.fewBytes { try store?.readFactsAhead() }
    let lastTally = try store?.lastTally() ?? 0
    let writer = StoreWriter(store: store, known: registry.logs, options: options, sieve: try sieve(policy))
    read(discovery.found, of: paths, into: writer)
    summary.stoppedBy = StopRequest.signal
    try writer.finish()
    try judge(writer, policy: policy, lastTally: lastTally)
    summary.seconds = options.seconds() - began
    return summary
  }

  /// What is known of the logs, without what earlier versions kept of their text.
  private func logs() throws(StoreError) -> [LogRecord] {
    guard let store else { return [] }
    var logs = try store.logs()
    for index in logs.indices {
      guard let state = logs[index].prefixState.flatMap(ConsumedPrefix.withoutBytes) else { continue }
      logs[index].prefixState = state
      try store.update(log: logs[index])
    }
    return logs
  }

  /// Bytes of new lines up to which reading them takes no longer than reading what is known.
  private static let fewBytes: Int64 = 8 << 20

  /// What only reading needs is gone afterwards: judging, joining and summing up need the memory.
  private func read(_ files: [Discovery.Found], of paths: [String], into writer: StoreWriter) {
    let reader = Reader(writer, options, overlapFilter(writer))
    for (index, file) in files.enumerated() {
      isCompared = store != nil || index < files.count - 1
      if StopRequest.signal != nil || !read(file, with: reader) { return }
    }
    lookAgain(paths, with: reader)
    let doubts = doubts(writer)
    for path in unopened where !doubts.noteUnopened(path) { return }
    doubts.settleUnopened(visited)
    for log in doubts.vanished(visited) {
      let place = log.place
      if !readRotatedSiblings(of: LogName(place), formers: [log], with: reader) { return }
      if log.place == place, !doubts.noteVanished(log) { return }
    }
    _ = doubts.noteVanished()
  }

  /// Logs are renamed and compressed while others are read: what was gone when it was its turn lies beside its old place under
  /// another name, and is read there. Where nothing new does, it was removed, and nobody can tell what was in it.
  private func lookAgain(_ paths: [String], with reader: Reader) {
    guard !gone.isEmpty else { return }
    let missed = gone
    gone = []
    isCompared = true
    var others: [Discovery.Found] = []
    for file in Discovery(paths: paths.filter { $0 != Discovery.standardInput }, database: options.database).found {
      guard let identity = file.identity, !handled.contains(identity) else { continue }
      others.append(file)
      if StopRequest.signal != nil || !read(file, with: reader) { return }
    }
    for file in missed + gone {
      let isThere = others.contains {
        $0.identity == file.identity || $0.name.family == file.name.family && $0.name.age != .live
      }
      summary.problems.append(
        isThere && !gone.contains(file)
          ? .warning(
            path: file.name.path, "was renamed or compressed while others were read; it was read as what it is now")
          : .error(path: file.name.path, "was removed while others were read; what was new in it is not known"))
    }
  }

  /// What a file goes through.
  private final class Reader {
    let writer: StoreWriter
    let crew: PieceCrew
    private let options: IngestOptions
    private let overlap: OverlapFilter?
    /// For pipes, and for all where only new lines are read.
    private(set) lazy var streams = LogReader(parser: crew.parser, writer: writer, options: options, overlap: overlap)

    init(_ writer: StoreWriter, _ options: IngestOptions, _ overlap: OverlapFilter?) {
      self.writer = writer
      self.options = options
      self.overlap = overlap
      crew = PieceCrew(writer: writer, options: options)
    }
  }

  private func sieve(_ policy: Policy?) throws(StoreError) -> (any FlowSieve)? {
    guard let store, case .exceptions(let slowMs) = options.keep else { return nil }
    if let sieveInstead { return sieveInstead }
    return OrdinaryTraffic(policy: policy, facts: try store.facts(), slowMs: slowMs)
  }

  private func overlapFilter(_ writer: StoreWriter) -> OverlapFilter? {
    guard options.dropsSeenLines else { return nil }
    guard let store else { return nil }
    let notes = OverlapFilter.Notes { hash, ordinal in
      do throws(StoreError) { return try store.noteLine(hash: hash, ordinal: ordinal) } catch {
        writer.fail(error)
        return true
      }
    } forget: { hash, ordinal in
      do throws(StoreError) { try store.forgetLine(hash: hash, ordinal: ordinal) } catch { writer.fail(error) }
    }
    return OverlapFilter(window: options.limits.overlapWindow, label: options.label, notes: notes)
  }

  /// - Parameter lastTally: the number of the last tally before this run.
  private func judge(_ writer: StoreWriter, policy: Policy?, lastTally: Int64) throws(StoreError) {
    guard let store else {
      for index in summary.files.indices { summary.files[index].role = (options.role ?? .unknown).rawValue }
      return
    }
    var end = RunEnd(
      store: store, options: options, policy: policy, sieve: writer.takeSieve(), rows: writer.addedRows,
      lastTally: lastTally)
    let found = try end.judge()
    summary.problems += found.problems
    nameRoles(found.looks, writer)
    try store.noteSigns(found.looks, among: writer.addedRows)
    // Logs without new lines have their roles from earlier ones.
    if summary.files.indices.contains(where: { ordinals[$0] != nil && summary.files[$0].role.isEmpty }) {
      nameRoles(try store.looksByLog(), writer)
    }
    for index in summary.files.indices where summary.files[index].role.isEmpty {
      summary.files[index].role = Role.unknown.rawValue
    }
    try store.commit()
    try store.makeDurable()
    try store.rollUp()
  }

  private func nameRoles(_ looks: [Int64: LogLook], _ writer: StoreWriter) {
    for (index, ordinal) in ordinals.enumerated() where summary.files[index].role.isEmpty {
      guard let ordinal, let id = writer.rowID(ordinal), let found = looks[id]?.roles else { continue }
      summary.files[index].role = found.map(\.rawValue).joined(separator: ",")
    }
  }

  // MARK: One file

  /// False when the run has to end.
  private func read(_ found: Discovery.Found, with reader: Reader) -> Bool {
    if let identity = found.identity, !handled.insert(identity).inserted { return true }
    do throws(ReadError) {
      let file = try LogFile(path: found.name.path, limits: options.limits, inflatedBy: options.inflateLibrary)
      var place = try self.place(file, found.name)
      noteOpened(file)
      if place.mayBeRotated(file) {
        if !readRotatedSiblings(of: found.name, with: reader) { return false }
        place = try self.place(file, found.name)
      }
      return try read(file, found.name, from: place, with: reader)
    } catch {
      if error.isGone {
        gone.append(found)
        if let identity = found.identity { handled.remove(identity) }
      } else {
        let isNoLog = error.isNoLog && !isNamed(found)
        summary.problems.append(
          isNoLog
            ? .warning(path: found.name.path, error.message) : .error(path: found.name.path, error.message))
        if !error.isNoLog { return noteUnopened(found, with: reader) }
      }
      return true
    }
  }

  private func noteOpened(_ file: LogFile) {
    let place = registry.fullPath(of: file.path)
    if let place { visited.opened.insert(place) }
    if let identity = file.identity { visited.files[identity] = (place, file.size) }
  }

  /// Also where it cannot be opened, another file under a name means that the one before was rotated.
  private func noteUnopened(_ found: Discovery.Found, with reader: Reader) -> Bool {
    let doubts = doubts(reader.writer)
    if let identity = found.identity, registry.log(at: identity) == nil, registry.log(named: found.name.path) != nil {
      if !readRotatedSiblings(of: found.name, with: reader) { return false }
      if let former = registry.log(named: found.name.path), !doubts.noteTail(of: former) { return false }
    }
    return doubts.noteUnopened(found.name.path)
  }

  private func doubts(_ writer: StoreWriter) -> LogDoubts {
    LogDoubts(registry: registry, writer: writer, options: options, isKept: store != nil)
  }

  private var replay: PrefixReplay { PrefixReplay(store: store, options: options) }

  private func isNamed(_ found: Discovery.Found) -> Bool { named.contains(found.name.path) }

  private func place(_ file: LogFile, _ name: LogName) throws(ReadError) -> ReadingPlace {
    try registry.place(for: file, named: name, chunkBytes: options.limits.chunkBytes)
  }

  /// The file under this name is another one than last time: what was read then may lie beside it, rotated. It is read
  /// to its end first, and so is everything rotated after it. One that was empty has nothing to be recognised by: whatever was written
  /// and rotated since may be it.
  private func readRotatedSiblings(of name: LogName, with reader: Reader) -> Bool {
    guard name.age == .live else { return true }
    return readRotatedSiblings(of: name, formers: registry.formers(of: name.path), with: reader)
  }

  private func readRotatedSiblings(of name: LogName, formers: [KnownLog], with reader: Reader) -> Bool {
    guard !formers.isEmpty else { return true }
    let emptySince = formers.filter { $0.record.position == 0 }.compactMap(\.record.lastReadAtMs).min()
    var isBehind = false
    for sibling in Discovery.rotatedSiblings(of: name.path) {
      isBehind = isBehind || isRotated(sibling, from: formers)
      guard isBehind || emptySince.map({ Discovery.wasWritten(sibling.name.path, since: $0) }) ?? false,
        sibling.identity.map({ !queued.contains($0) }) ?? false
      else { continue }
      if !read(sibling, with: reader) { return false }
    }
    return true
  }

  private func isRotated(_ sibling: Discovery.Found, from formers: [KnownLog]) -> Bool {
    guard let file = try? LogFile(path: sibling.name.path, limits: options.limits),
      let log = (try? place(file, sibling.name))?.log
    else { return false }
    return formers.contains { $0 === log }
  }

  private func read(
    _ file: LogFile, _ name: LogName, from place: ReadingPlace, with reader: Reader
  ) throws(ReadError) -> Bool {
    switch place {
    case .unchanged(let log):
      bytesDone += file.size
      let before = log.record
      registry.move(log, to: file)
      declare(log)
      // Another name or another role is worth noting, though there is nothing to read.
      if log.record != before && !reader.writer.take(StoreWriter.Parcel(ordinal: log.ordinal, record: log.record)) {
        return false
      }
      report(name, log, from: log.record.position, Tally(), pending: log.record.pending)
      return true
    case .covered(let log):
      bytesDone += file.size
      noteCovered(file, name, log)
      report(name, nil, from: file.position, Tally(), pending: 0)
      return true
    case .resume(let log):
      let before = log.record
      registry.move(log, to: file)
      let prefix =
        if let known = log.prefix { known } else {
          try replay.prefix(of: file, length: UInt64(log.record.position)).prefix
        }
      return read(file, name, as: log, prefix: prefix, with: reader, before: before)
    case .begin(let former, let equal, let change):
      var (prefix, lines) = try replay.prefix(of: file, length: equal)
      if let former { try replay.passStoredLines(of: former, file, name, &prefix, &lines) }
      // A copy that ends before what was read of its log.
      if let former, former.identity != file.identity, prefix.position > 0, try replay.isAtEnd(file) {
        bytesDone += file.size
        report(name, nil, from: file.position, Tally(), pending: 0)
        return true
      }
      var record = LogRecord(path: name.path)
      record.fullPath = registry.fullPath(of: name.path)
      if file.identity != nil { (record.declaredRole, record.label) = registry.declaration(of: name.path) }
      record.device = file.identity.map { Int64(bitPattern: $0.device) }
      record.inode = file.identity.map { Int64(bitPattern: $0.inode) }
      record.isCompressed = file.isCompressed
      (record.namespace, record.pod, record.container) = (name.namespace, name.pod, name.container)
      record.position = Int64(prefix.position)
      record.lines = lines
      // Under another path it may be another file, to which the system gave the number of one that is gone.
      let isSameFile = former.map { $0.identity == file.identity && registry.lies($0, under: name.path) } ?? false
      let before = isSameFile ? former : registry.log(named: name.path)
      noteChange(&record, before, isSameFile ? change : .none)
      let doubts = doubts(reader.writer)
      if let before, !doubts.noteTail(of: before) { return false }
      if file.identity == nil && !options.dropsSeenLines {
        summary.problems.append(
          .warning(
            path: name.path,
            "has no identity: reading the same lines again would store them again; use --overlap if inputs may overlap"
          ))
      }
      let log = registry.add(record, prefix: prefix)
      guard read(file, name, as: log, prefix: prefix, with: reader) else { return false }
      return doubts.settle(before, by: log)
    }
  }

  private func read(
    _ file: LogFile, _ name: LogName, as log: KnownLog, prefix: ConsumedPrefix, with reader: Reader,
    before: LogRecord? = nil
  ) -> Bool {
    let undeclared = before ?? log.record
    declare(log)
    // Or it has another name.
    let isDeclaredAnew = log.record != undeclared && log.record.id != 0
    let prefix = isCompared ? prefix : ConsumedPrefix(counting: prefix.position)
    let from = log.record.position
    let before = bytesDone
    let show: (Int64) -> Void = { [self] bytes in
      bytesDone = before + bytes
      progress?(IngestProgress(path: name.path, bytes: bytesDone, of: bytesTotal, seconds: options.seconds() - began))
    }
    var tally = Tally()
    let result: LogReader.Result
    if file.identity == nil || options.dropsSeenLines {
      reader.streams.onChunk = show
      result = reader.streams.read(file, as: log, prefix: prefix, standing: &reader.crew.standing, tally: &tally)
    } else {
      reader.crew.onPiece = show
      result = reader.crew.read(file, as: log, prefix: prefix, tally: &tally)
    }
    registry.learnFirstLine(of: log)
    // From here on the record says of what it stands behind, too: to be written once more with an older state would make the
    // log another one in the next run.
    log.putAside()
    // Where nothing is new of a log, it is not written by itself.
    if isDeclaredAnew, !result.wasStopped,
      !reader.writer.take(StoreWriter.Parcel(ordinal: log.ordinal, record: log.record))
    {
      return false
    }
    bytesDone = before + file.size
    summary.problems += result.warnings.map { .warning(path: name.path, $0) }
    if let error = result.error { summary.problems.append(.error(path: name.path, error.message)) }
    report(name, log, from: from, tally, pending: result.pending)
    return !result.wasStopped
  }

  private func declare(_ log: KnownLog) {
    if let role = options.role { log.record.declaredRole = role }
    if let label = options.label { log.record.label = label }
  }

  // MARK: Reporting

  private func noteChange(_ record: inout LogRecord, _ former: KnownLog?, _ change: ReadingPlace.Change) {
    guard let former else { return }
    record.generation = former.record.generation + 1
    // Of an empty file nothing can be missing.
    guard former.record.position > 0 || former.record.pending > 0 else { return }
    let kept = record.position > 0 ? "; its first \(record.position) bytes are as before and not read again" : ""
    let lost =
      former.record.pending > 0
      ? " (\(former.record.pending) bytes of an unfinished line are lost)" : ""
    let what =
      switch change {
      case .truncated: "was cut after \(former.record.position) bytes had been read of it"
      case .rewritten: "was rewritten after \(former.record.position) bytes had been read of it"
      case .none: "is another file than the one of which \(former.record.position) bytes had been read"
      }
    let note =
      "\(what)\(kept); what was written after that and before the change is a gap, unless a rotated copy holds it\(lost)"
    record.note = note
    summary.problems.append(.warning(path: record.path, note))
  }

  private func noteCovered(_ file: LogFile, _ name: LogName, _ log: KnownLog) {
    guard log.identity == file.identity, registry.lies(log, under: name.path) else { return }
    summary.problems.append(
      .warning(
        path: name.path,
        "is shorter than what was read of it (\(log.record.position) bytes); its lines are all stored already"))
  }

  private func report(_ name: LogName, _ log: KnownLog?, from: Int64, _ tally: Tally, pending: Int64) {
    ordinals.append(log?.ordinal)
    let formats = log?.record.formats ?? tally.storedByFormat.keys.sorted()
    summary.add(
      IngestSummary.File(
        path: name.path, format: formats.joined(separator: ","), role: "",
        read: tally.read, stored: tally.stored, rejected: tally.rejected, skipped: tally.skipped, from: from,
        to: log?.record.position ?? from, pending: pending), tally)
  }
}
