#include <malloc.h>

/* Has SQLite not count the memory it takes, which it does under a lock of its own with each piece; before its first use. The
   function takes a varying number of arguments, which Swift cannot pass; 9 is SQLITE_CONFIG_MEMSTATUS. */
int sqlite3_config(int option, ...);
static inline int gatewatch_leave_uncounted(void) { return sqlite3_config(9, 0); }
