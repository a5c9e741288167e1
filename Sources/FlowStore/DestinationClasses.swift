internal import Flows
internal import GRDB
internal import GRDBSQLite

/// Writes the classes of destinations, with one statement for all: there are many, and at first none has a class.
///
/// The statement asks a function for each class, which finds it in memory by row id.
struct DestinationClasses {
  /// By row id; `none` for what was not judged.
  private var classes: [Int32] = []
  private static let none: Int32 = -1

  init(_ judged: [(destination: Int64, class: Int)]) {
    classes = Array(repeating: DestinationClasses.none, count: Int(judged.map(\.destination).max() ?? -1) + 1)
    for entry in judged {
      precondition(entry.class >= 0 && entry.class < RouteKey.classes, "a destination class has its place in a key")
      classes[Int(entry.destination)] = Int32(entry.class)
    }
  }

  /// What the function knows while the statement runs.
  private struct Judged {
    let classes: UnsafeBufferPointer<Int32>
    var isReclassified = false
  }

  /// Writes those that differ; true when a destination that had a class has another now.
  func write(on db: Database) throws(StoreError) -> Bool {
    let done: Result<Bool, StoreError> = classes.withUnsafeBufferPointer { classes in
      var judged = Judged(classes: classes)
      return withUnsafeMutablePointer(to: &judged) { judged in
        do throws(StoreError) {
          try DestinationClasses.register(judged, on: db)
          defer { try? DestinationClasses.register(nil, on: db) }
          // One look at each row; the second call of the function is of those that are written.
          try db.run(
            "update destination set class = judged_class(id, class) where judged_class(id, class) is not class")
          return .success(judged.pointee.isReclassified)
        } catch {
          return .failure(error)
        }
      }
    }
    return try done.get()
  }

  /// - Parameter judged: nil takes the function away.
  private static func register(_ judged: UnsafeMutablePointer<Judged>?, on db: Database) throws(StoreError) {
    guard let connection = db.sqliteConnection else { preconditionFailure("asked for by who has the connection") }
    let flags = SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_DIRECTONLY
    let code = sqlite3_create_function_v2(
      connection, "judged_class", 2, flags, judged,
      judged == nil
        ? nil
        : { context, _, arguments in
          let judged = sqlite3_user_data(context).assumingMemoryBound(to: Judged.self)
          let id = sqlite3_value_int64(arguments![0])
          let hasClass = sqlite3_value_type(arguments![1]) != SQLITE_NULL
          let stored = sqlite3_value_int64(arguments![1])
          guard id >= 0, id < judged.pointee.classes.count, judged.pointee.classes[Int(id)] != DestinationClasses.none
          else {
            // Not judged: as it was.
            if hasClass { sqlite3_result_int64(context, stored) }
            return
          }
          let present = judged.pointee.classes[Int(id)]
          if hasClass, stored != Int64(present) { judged.pointee.isReclassified = true }
          sqlite3_result_int(context, present)
        }, nil, nil, nil)
    guard code == SQLITE_OK else { throw StoreError(connection: connection, sql: nil) }
  }
}
