/// Times and counts that stay at the end of the range: what a damaged line says must not end a run.
extension Int64 {
  public func plus(_ other: Int64) -> Int64 {
    let (sum, isOver) = addingReportingOverflow(other)
    return isOver ? (other > 0 ? .max : .min) : sum
  }

  /// What lies between an earlier moment and this one.
  public func since(_ earlier: Int64) -> Int64 {
    let (difference, isOver) = subtractingReportingOverflow(earlier)
    return isOver ? (earlier < 0 ? .max : .min) : difference
  }
}
