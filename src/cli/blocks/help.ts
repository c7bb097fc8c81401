/** Owns the text of `tempo-actors blocks --help`. */
export const HELP = `Usage: tempo-actors blocks COMMAND [options]

Looks at the blocks of a local folder or an S3 bucket, whoever wrote them (blockpack, Tempo's vParquet4 and vParquet5). The store may run meanwhile.

  list [TENANT]                  the blocks with their counts, sizes and times
  view TENANT BLOCK              one block: meta.json in words, its sections, row groups and columns
  find TENANT TRACE-ID           one trace, out of every block that has a part of it
  verify [TENANT [BLOCK]]        reads all of the blocks and tells which cannot be trusted

Where the blocks are:
  --config FILE                  as the server's configuration says (several may be given; --config.expand-env)
  --path FOLDER                  this folder
  --bucket NAME|s3://NAME/PREFIX this bucket; a folder where the backend is local
  --backend local|s3             (default: what the configuration says, else local)
  --prefix NAME                  a folder in the bucket
  --s3-endpoint [http://]HOST:PORT, --s3-user KEY, --s3-pass SECRET
  --storage.trace...             any such key of the server's configuration

BLOCK may be the beginning of a block's id. What takes long shows a bar on stderr, if that is a terminal.
  --json                         JSON instead of tables
  --quiet                        no bar
  --include-compacted            blocks that were merged into others or are past their age, too
list:
  --tenant NAME                  as TENANT
  --sort COLUMN                  id, version, level, traces, spans, size, bytes-per-span, start, end (default), duration, age
  --reverse
view:
  --group N                      the columns of one row group
  --all                          every row group and column

Exit codes: 0 done, 1 failed, not found or not good, 2 wrong usage, 130 interrupted.
`
