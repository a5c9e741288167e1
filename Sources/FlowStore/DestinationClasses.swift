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

  /// Writes those that differ; true when a destination that had a class has another now.
  func write(on db: Database) throws(StoreError) -> Bool {
    // The function knows where they are until the closure ends.
    let done: Result<Bool, StoreError> = classes.withUnsafeBufferPointer { classes in
      withUnsafePointer(to: classes) { place in
        do throws(StoreError) {
          try DestinationClasses.register(place, on: db)
          defer { try? DestinationClasses.register(nil, on: db) }
          return .success(try DestinationClasses.update(db))
        } catch {
          return .failure(error)
        }
      }
    }
    return try done.get()
  }

  private static func update(_ db: Database) throws(StoreError) -> Bool {
    let another = try db.statement("select 1 from destination where judged_class(id) <> class limit 1")
    let isReclassified = try another.step()
    another.reset()
    try db.run("update destination set class = judged_class(id) where judged_class(id) <> ifnull(class, \(none))")
    return isReclassified
  }

  /// - Parameter classes: nil takes the function away.
  private static func register(
    _ classes: UnsafePointer<UnsafeBufferPointer<Int32>>?, on db: Database
  ) throws(StoreError) {
    guard let connection = db.sqliteConnection else { preconditionFailure("asked for by who has the connection") }
    let flags = SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_DIRECTONLY
    let code = sqlite3_create_function_v2(
      connection, "judged_class", 1, flags, UnsafeMutableRawPointer(mutating: classes),
      classes == nil
        ? nil
        : { context, _, arguments in
          let classes = sqlite3_user_data(context).assumingMemoryBound(to: UnsafeBufferPointer<Int32>.self).pointee
          let id = sqlite3_value_int64(arguments![0])
          guard id >= 0, id < classes.count, classes[Int(id)] != DestinationClasses.none else { return }
          sqlite3_result_int(context, classes[Int(id)])
        }, nil, nil, nil)
    guard code == SQLITE_OK else { throw StoreError(connection: connection, sql: nil) }
  }
}
