/** Owns the text of `tempo-actors blocks --help`. */
export const HELP = `Usage: tempo-actors blocks COMMAND [options]

Looks at the blocks of a local folder or an S3 bucket, whoever wrote them (blockpack, Tempo's vParquet4 and vParquet5). The store may run meanwhile.

  list [TENANT]                  the blocks with their counts, sizes and times
  view TENANT BLOCK              one block: meta.json in words, its sections, row groups and columns
  find TENANT TRACE-ID           one trace, out of every block that has a part of it
  search TENANT QUERY            TraceQL over the blocks themselves
  analyse TENANT [BLOCK]         which attributes take the bytes, and which should have columns of their own in parquet
  convert TENANT BLOCK --to ENC  the block anew as vParquet5, vParquet4 or blockpack
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
search:
  --start TIME, --end TIME       2006-01-02T15:04:05Z, Unix seconds, now or now-1h
  --limit N                      traces (default 20, 0 = all); --spss N spans of each with --json (default 3)
analyse:
  --to vParquet5|vParquet4       for which columns are recommended (default vParquet5)
  --max-blocks N                 of a tenant only the newest (default 10, 0 = all)
  --limit N                      attributes shown of each scope (default 20, 0 = all)
convert:
  --out FOLDER|s3://NAME/PREFIX  another place; the source stays
  --replace                      the new block takes the source's place, which is marked as compacted
  --dedicated LIST               columns of parquet, such as span.http.route,span.size:int (default: the source's, else Tempo's)
  --scratch FOLDER               for the new block before it is complete (default: the system's)

Exit codes: 0 done, 1 failed, not found or not good, 2 wrong usage, 130 interrupted.
`
