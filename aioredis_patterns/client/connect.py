from .pipelined import PipelinedRedis
def connect(url, *, deadline=5.0, lanes=1, **redis_py_options):
    pool = redis_py_options.pop("connection_pool", None)
    if pool is not None: return PipelinedRedis(connection_pool=pool, deadline=deadline, lanes=lanes)
    from redis.asyncio import ConnectionPool
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff
    from redis.maint_notifications import MaintNotificationsConfig
    pool = ConnectionPool.from_url(url, maint_notifications_config=MaintNotificationsConfig(enabled=False), **redis_py_options)
    c = PipelinedRedis(connection_pool=pool, deadline=deadline, lanes=lanes); c.auto_close_connection_pool = True
    return c
