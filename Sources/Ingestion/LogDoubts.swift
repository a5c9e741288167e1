internal import FlowStore
internal import Flows
internal import Glibc

/// Keeps with each log of a run what of it is known not to have been read, and takes it back where it was read after all.
///
/// The functions answer false when the store failed: there is no use in reading on.
struct LogDoubts {
  let registry: LogRegistry
  let writer: StoreWriter
  let options: IngestOptions
  /// Something is stored at all: it is no dry run.
  let isKept: Bool

  /// Kept with the logs: whoever asks later, without reading anything, has to hear of it, too.
  func noteUnopened(_ path: String) -> Bool {
    guard isKept, path != Discovery.standardInput else { return true }
    let log = registry.meetUnopened(path)
    // What was not read of it before is not read by that it can be opened again.
    if log.record.unread == nil { log.record.unread = .unopened }
    log.record.lastReadAtMs = options.nowMs()
    if log.record.firstReadAtMs == nil { log.record.firstReadAtMs = log.record.lastReadAtMs }
    return writer.take(
      StoreWriter.Parcel(ordinal: log.ordinal, record: log.record, prefix: log.prefix ?? ConsumedPrefix()))
  }

  /// What could not be opened once, and was opened now or is not there any more, is no question any more. A run that looked elsewhere
  /// knows nothing of it, and another file under its name is no answer.
  func settleUnopened(_ visited: VisitedPlaces) {
    guard isKept else { return }
    for log in registry.logs where log.record.unread == .unopened {
      let before = log.record
      settleUnopened(log, visited)
      guard log.record == before || writer.take(StoreWriter.Parcel(ordinal: log.ordinal, record: log.record)) else {
        return
      }
    }
  }

  private func settleUnopened(_ log: KnownLog, _ visited: VisitedPlaces) {
    guard let place = registry.fullPath(of: log.place) else { return }
    guard let identity = log.identity else {
      if visited.opened.contains(place) || visited.lack(place) { log.record.unread = nil }
      return
    }
    if let file = visited.files[identity], log.mayBe(place: file.place ?? log.place, size: file.size) {
      log.record.unread = nil
      return
    }
    guard visited.cover(place) else { return }
    let family = LogName(place).family
    if FileIdentity(path: place) == identity {
      // Rotated already, and no pattern need name it any more.
      if family != place, visited.opened.contains(family) { log.record.lastReadAtMs = options.nowMs() }
      return
    }
    let siblings = Discovery.rotatedSiblings(of: family)
    if let rotated = siblings.first(where: { $0.identity == identity })?.name.path {
      let folder = rotated.folder == place.folder ? log.record.path.folder : rotated.folder
      log.record.path = String(folder + rotated.dropFirst(rotated.folder.count))
      log.record.fullPath = rotated
    } else if FileIdentity(path: place) != nil || siblings.contains(where: { isNewer($0, than: log) }) {
      log.record.unread = .tail
    } else {
      if visited.lack(place) { log.record.unread = nil }
      return
    }
    log.record.lastReadAtMs = options.nowMs()
  }

  /// Nobody knows of another log's end what was written to it after its last reading. Compressed files are written once, and lines
  /// that are told apart one by one come from exports that replace each other.
  func noteTail(of log: KnownLog) -> Bool {
    guard isKept, !options.dropsSeenLines, !log.record.isCompressed,
      log.record.position > 0 || !log.wasNeverOpened && mayHaveBeenFilled(log)
    else { return true }
    // What is in doubt already stays what it is; only that it could not be opened is over when another file can be.
    if [nil, .unopened].contains(log.record.unread) { log.record.unread = .tail }
    log.record.lastReadAtMs = options.nowMs()
    return writer.take(StoreWriter.Parcel(ordinal: log.ordinal, record: log.record))
  }

  /// A log that was empty is known by nothing: what was rotated beside it since may be all of it, and nobody writes to what is rotated.
  private func mayHaveBeenFilled(_ log: KnownLog) -> Bool {
    guard LogName(log.place).age == .live else { return false }
    return !Discovery.rotatedSiblings(of: log.place).contains { isNewer($0, than: log) }
  }

  /// It was made or renamed after the log was met last.
  private func isNewer(_ sibling: Discovery.Found, than log: KnownLog) -> Bool {
    Discovery.changedMs(of: sibling.name.path) >= log.record.lastReadAtMs ?? .min
  }

  /// The kubelet keeps the logs of two lives of a container: of one that ended and is gone, with more than one life since, the end
  /// was read only if one of these was known before.
  func noteVanished() -> Bool {
    struct Place: Hashable {
      var namespace, pod, container: String
      var label: String?

      init?(_ record: LogRecord) {
        guard let namespace = record.namespace, let pod = record.pod, let container = record.container else {
          return nil
        }
        (self.namespace, self.pod, self.container, label) = (namespace, pod, container, record.label)
      }
    }
    let places = Set(registry.logs.filter { $0.record.id == 0 && $0.identity != nil }.compactMap { Place($0.record) })
    guard !places.isEmpty else { return true }
    func life(_ log: KnownLog) -> (Int, Int64, Int64) {
      (LogName(log.record.path).restarts ?? 0, log.record.lastMs ?? .min, log.record.id)
    }
    var newest: [Place: KnownLog] = [:]
    for log in registry.logs where log.record.id != 0 && log.identity != nil {
      guard let place = Place(log.record), places.contains(place) else { continue }
      if newest[place].map({ life($0) < life(log) }) ?? true { newest[place] = log }
    }
    for log in newest.values.sorted(by: { $0.ordinal < $1.ordinal }) {
      guard access(log.place, F_OK) != 0, [ENOENT, ENOTDIR].contains(errno) else { continue }
      if !noteTail(of: log) { return false }
    }
    return true
  }

  /// Logs of the last day of which nothing has the name any more: they were renamed, or removed, with what came after their last reading.
  /// Whole folders come and go with the container that wrote to them, and pods end.
  func vanished(_ visited: VisitedPlaces) -> [KnownLog] {
    guard isKept, !options.dropsSeenLines else { return [] }
    return registry.logs.filter { log in
      let record = log.record
      guard record.id != 0, record.position > 0, !record.isCompressed, record.pod == nil, record.unread == nil,
        record.path != Discovery.standardInput, LogName(log.place).age == .live,
        options.nowMs().since(record.lastReadAtMs ?? .min) < LogDoubts.vanishedMs
      else { return false }
      return visited.cover(log.place) && access(log.place, F_OK) != 0 && errno == ENOENT
        && Discovery.entries(of: String(log.place.folder)).map { !$0.isEmpty } ?? false
    }
  }

  /// Nobody looks longer for a log that is gone.
  private static let vanishedMs: Int64 = 86_400_000

  /// A log that grew while it was known may have grown since; an export that was read and removed has not.
  func noteVanished(_ log: KnownLog) -> Bool {
    guard let modifiedNs = log.record.modifiedNs, let firstReadMs = log.record.firstReadAtMs,
      modifiedNs / 1_000_000 > firstReadMs + Discovery.clockStepMs
    else { return true }
    return noteTail(of: log)
  }

  /// A compressed file of which nothing could be read can be read, since it was repaired. One of which something was read is known by
  /// that, and anything else under its name is another one.
  func settle(_ former: KnownLog?, by log: KnownLog) -> Bool {
    guard let former, ![nil, .tail].contains(former.record.unread), log.record.unread == nil,
      former.place == log.place, former !== log, former.record.position == 0, former.record.isCompressed,
      log.record.isCompressed
    else { return true }
    former.record.unread = nil
    return writer.take(StoreWriter.Parcel(ordinal: former.ordinal, record: former.record))
  }
}
