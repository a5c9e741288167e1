import Flows
import Testing

@Suite("The calendar")
struct CivilCalendarTests {
  @Test("days and dates are each other's inverse, day by day", arguments: [-800, 0, 1900, 1970, 2000, 2024, 9999])
  func inverse(year: Int64) {
    var days = CivilCalendar.days(year: year, month: 1, day: 1)
    for month in Int64(1)...12 {
      for day in 1...CivilCalendar.daysInMonth(year: year, month: month) {
        #expect(CivilCalendar.days(year: year, month: month, day: day) == days)
        #expect(CivilCalendar.date(fromDays: days) == (year, month, day))
        days += 1
      }
    }
    #expect(CivilCalendar.days(year: year + 1, month: 1, day: 1) == days)
  }

  @Test("days are counted from 1970, and leap years are those of the Gregorian calendar")
  func anchors() {
    #expect(CivilCalendar.days(year: 1970, month: 1, day: 1) == 0)
    #expect(CivilCalendar.days(year: 2026, month: 11, day: 1) == 20_758)
    #expect([1900, 2000, 2023, 2024].map { CivilCalendar.daysInMonth(year: $0, month: 2) } == [28, 29, 28, 29])
  }
}
