from .pipelined import PipelinedRedis
def connect(url, *, deadline=5.0, lanes=1, **redis_py_options):
    pool = redis_py_options.pop("connection_pool", None)
    if pool is not None: return PipelinedRedis(connection_pool=pool, deadline=deadline, lanes=lanes)
    from redis.asyncio import ConnectionPool
    from .redis_py import careful_options
    pool = ConnectionPool.from_url(url, **(careful_options() | redis_py_options))
    c = PipelinedRedis(connection_pool=pool, deadline=deadline, lanes=lanes); c.auto_close_connection_pool = True
    return c
