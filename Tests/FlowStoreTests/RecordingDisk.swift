import Dispatch
import Foundation
import GRDBSQLite

/// What SQLite asks of the files in one folder, in order: a layer over the system's VFS (sqlite.org/vfs.html).
///
///     let events = try RecordingDisk.events(in: folder.url.path) { try fill(folder.path()) }
///
/// While it records, the layer is the default one, for stores name none; files elsewhere are opened by the system's VFS and know
/// nothing of it.
enum RecordingDisk {
  enum Event: Equatable {
    /// `header` is what stands at the application id, where the write has it.
    case write(String, header: UInt32?)
    /// That all of the first `asked` events is on the disk. Another thread may have written meanwhile.
    case sync(String, asked: Int)
    case truncate(String, to: Int64)
    case delete(String)
  }

  static func events(in folder: String, _ body: () throws -> Void) rethrows -> [Event] {
    alone.wait()
    defer { alone.signal() }
    state.lock.wait()
    (state.folder, state.events) = (folder, [])
    state.lock.signal()
    sqlite3_vfs_register(layer, 1)
    // Whoever opened a file meanwhile goes on using the layer, which stays for the life of the process.
    defer { sqlite3_vfs_register(system, 1) }
    try body()
    state.lock.wait()
    defer { state.lock.signal() }
    state.folder = nil
    return state.events
  }

  private static let alone = DispatchSemaphore(value: 1)
  fileprivate static let state = State()

  /// `@unchecked Sendable`: all is touched under `lock`.
  fileprivate final class State: @unchecked Sendable {
    let lock = DispatchSemaphore(value: 1)
    var folder: String?
    var events: [Event] = []
    /// Open files: their names, and what they can do by themselves.
    var files: [UnsafeMutablePointer<sqlite3_file>: (name: String, methods: UnsafePointer<sqlite3_io_methods>)] = [:]

    func isWatched(_ path: String) -> Bool {
      lock.wait()
      defer { lock.signal() }
      return folder.map { path.hasPrefix($0 + "/") } ?? false
    }

    var count: Int {
      lock.wait()
      defer { lock.signal() }
      return events.count
    }

    func add(_ event: Event) {
      lock.wait()
      events.append(event)
      lock.signal()
    }

    func file(
      _ file: UnsafeMutablePointer<sqlite3_file>
    ) -> (name: String, methods: UnsafePointer<sqlite3_io_methods>) {
      lock.wait()
      defer { lock.signal() }
      return files[file]!
    }
  }

  nonisolated(unsafe) fileprivate static let system = sqlite3_vfs_find(nil)!

  /// The system's VFS, but for what opens and deletes files.
  nonisolated(unsafe) private static let layer: UnsafeMutablePointer<sqlite3_vfs> = {
    let layer = UnsafeMutablePointer<sqlite3_vfs>.allocate(capacity: 1)
    layer.initialize(to: system.pointee)
    layer.pointee.pNext = nil
    layer.pointee.zName = UnsafePointer(strdup("recording"))
    layer.pointee.xOpen = { _, name, file, flags, outFlags in
      let code = RecordingDisk.system.pointee.xOpen(RecordingDisk.system, name, file, flags, outFlags)
      guard code == SQLITE_OK, let name, let file, RecordingDisk.state.isWatched(String(cString: name)) else {
        return code
      }
      RecordingDisk.watch(file, String(cString: name))
      return code
    }
    layer.pointee.xDelete = { _, name, syncsFolder in
      let path = name.map { String(cString: $0) } ?? ""
      if RecordingDisk.state.isWatched(path) { RecordingDisk.state.add(.delete(RecordingDisk.name(path))) }
      return RecordingDisk.system.pointee.xDelete(RecordingDisk.system, name, syncsFolder)
    }
    return layer
  }()

  fileprivate static func name(_ path: String) -> String { path.split(separator: "/").last.map(String.init) ?? path }

  /// Has an open file tell what it is asked, before it does so.
  fileprivate static func watch(_ file: UnsafeMutablePointer<sqlite3_file>, _ path: String) {
    guard let own = file.pointee.pMethods else { return }
    let methods = UnsafeMutablePointer<sqlite3_io_methods>.allocate(capacity: 1)
    methods.initialize(to: own.pointee)
    methods.pointee.xWrite = { file, bytes, count, offset in
      let (name, own) = RecordingDisk.state.file(file!)
      RecordingDisk.state.add(.write(name, header: RecordingDisk.header(bytes!, count: Int(count), at: offset)))
      return own.pointee.xWrite(file, bytes, count, offset)
    }
    methods.pointee.xTruncate = { file, size in
      let (name, own) = RecordingDisk.state.file(file!)
      RecordingDisk.state.add(.truncate(name, to: size))
      return own.pointee.xTruncate(file, size)
    }
    methods.pointee.xSync = { file, flags in
      let (name, own) = RecordingDisk.state.file(file!)
      let asked = RecordingDisk.state.count
      let code = own.pointee.xSync(file, flags)
      if code == SQLITE_OK { RecordingDisk.state.add(.sync(name, asked: asked)) }
      return code
    }
    methods.pointee.xClose = { file in
      let own = RecordingDisk.state.file(file!).methods
      RecordingDisk.state.lock.wait()
      RecordingDisk.state.files[file!] = nil
      RecordingDisk.state.lock.signal()
      return own.pointee.xClose(file)
    }
    state.lock.wait()
    state.files[file] = (name(path), own)
    state.lock.signal()
    file.pointee.pMethods = UnsafePointer(methods)
  }

  /// The application id, big-endian (sqlite.org/fileformat2.html section 1.3), where the write has all of the header.
  fileprivate static func header(_ bytes: UnsafeRawPointer, count: Int, at offset: Int64) -> UInt32? {
    guard offset == 0, count >= 100 else { return nil }
    return UInt32(bigEndian: bytes.loadUnaligned(fromByteOffset: 68, as: UInt32.self))
  }
}
