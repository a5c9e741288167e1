internal import Flows
internal import GRDB

/// What is kept of lines that nothing understood: table `rejected_line`.
enum RejectedText {
  /// Takes out of it what versions before 20 left in it.
  static func redact(_ db: Database) throws(StoreError) {
    let rows = try db.statement("select id, text from rejected_line order by id")
    var others: [(id: Int64, text: String)] = []
    while try rows.step() {
      let text = rows.text(1) ?? ""
      let redacted = Redaction().text(text)
      if redacted != text { others.append((rows.int(0), redacted)) }
    }
    let update = try db.statement("update rejected_line set text = ? where id = ?")
    for other in others { try update.run(.text(other.text), .integer(other.id)) }
  }
}
