/** Owns the names of the objects of a block of Tempo's parquet beside its blooms. */

export const DATA_OBJECT = 'data.parquet'
export const INDEX_OBJECT = 'index'
