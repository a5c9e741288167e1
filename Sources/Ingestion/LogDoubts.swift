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
    let log =
      registry.log(named: path) ?? registry.logs.first { $0.identity == nil && $0.record.path == path }
      ?? registry.add(LogRecord(path: path), prefix: ConsumedPrefix())
    // What was not read of it before is not read by that it can be opened again.
    if log.record.unread == nil { log.record.unread = .unopened }
    log.record.lastReadAtMs = options.nowMs()
    if log.record.firstReadAtMs == nil { log.record.firstReadAtMs = log.record.lastReadAtMs }
    return writer.take(
      StoreWriter.Parcel(ordinal: log.ordinal, record: log.record, prefix: log.prefix ?? ConsumedPrefix()))
  }

  /// What could not be opened once, and was opened now or is not there any more, is no question any more.
  /// - Parameter opened: paths of what this run could open.
  func settleUnopened(_ opened: Set<String>) {
    guard isKept else { return }
    for log in registry.logs where log.record.unread == .unopened {
      let path = log.record.path
      guard opened.contains(path) || access(path, F_OK) != 0 && [ENOENT, ENOTDIR].contains(errno) else { continue }
      log.record.unread = nil
      guard writer.take(StoreWriter.Parcel(ordinal: log.ordinal, record: log.record)) else { return }
    }
  }

  /// Nobody knows of another log's end what was written to it after its last reading. Compressed files are written once, and lines
  /// that are told apart one by one come from exports that replace each other.
  func noteTail(of log: KnownLog) -> Bool {
    guard isKept, !options.dropsSeenLines, !log.record.isCompressed,
      log.record.position > 0 || mayHaveBeenFilled(log)
    else { return true }
    // What is in doubt already stays what it is; only that it could not be opened is over when another file can be.
    if [nil, .unopened].contains(log.record.unread) { log.record.unread = .tail }
    log.record.lastReadAtMs = options.nowMs()
    return writer.take(StoreWriter.Parcel(ordinal: log.ordinal, record: log.record))
  }

  /// A log that was empty is known by nothing: what was rotated beside it since may be all of it, and nobody writes to what is rotated.
  private func mayHaveBeenFilled(_ log: KnownLog) -> Bool {
    let readAtMs = log.record.lastReadAtMs ?? .min
    guard LogName(log.record.path).age == .live else { return false }
    return !Discovery.rotatedSiblings(of: log.record.path).contains {
      Discovery.changedMs(of: $0.name.path) >= readAtMs
    }
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
      let path = log.record.path
      guard access(path, F_OK) != 0, [ENOENT, ENOTDIR].contains(errno) else { continue }
      if !noteTail(of: log) { return false }
    }
    return true
  }

  /// A compressed file of which nothing could be read can be read, since it was repaired. One of which something was read is known by
  /// that, and anything else under its name is another one.
  func settle(_ former: KnownLog?, by log: KnownLog) -> Bool {
    guard let former, ![nil, .tail].contains(former.record.unread), log.record.unread == nil,
      former.record.path == log.record.path, former !== log, former.record.position == 0, former.record.isCompressed,
      log.record.isCompressed
    else { return true }
    former.record.unread = nil
    return writer.take(StoreWriter.Parcel(ordinal: former.ordinal, record: former.record))
  }
}
