"""An application with Flask-SQLAlchemy. Its config comes from the environment: SHOP_... ."""

import os
import time
from pathlib import Path

from flask import Flask, g, request
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from steve import Job
from steve.contrib.flask import Steve


class Base(DeclarativeBase):
    pass


db = SQLAlchemy(model_class=Base)
steve = Steve()


class Order(db.Model):
    __tablename__ = "shop_order"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    shipped: Mapped[int] = mapped_column(default=0)


@steve.handler("ship")
def ship(job: Job) -> int:
    order = db.session.get(Order, job.payload["order"])
    order.shipped += 1
    if not job.payload.get("forget"):
        db.session.commit()
    g.count = g.get("count", 0) + 1
    return g.count


@steve.task(queue="mail")
def send(order: int, more: int = 0) -> str:
    if more:
        send.create(order, more - 1)
    return db.session.get(Order, order).name


@steve.handler("hold")
def hold(job: Job) -> int:
    """Says that it runs, and waits until its file is gone."""
    Path(job.payload["begun"]).write_text(str(os.getpid()))
    while Path(job.payload["until_gone"]).exists():
        time.sleep(0.02)
    return os.getpid()


@steve.handler("who")
def who(job: Job) -> int:
    return os.getpid()


def create_app(starts: bool = False) -> Flask:
    app = Flask(__name__)
    app.config["SQLALCHEMY_DATABASE_URI"] = os.environ["SHOP_URI"]
    app.config.from_prefixed_env("SHOP_CONFIG")
    db.init_app(app)
    steve.init_app(app)

    @app.post("/order")
    def order() -> dict[str, str]:
        order = Order(name=request.form["name"])
        db.session.add(order)
        db.session.flush()
        job = steve.create("ship", {"order": order.id}, connection=db.session)
        if "fail" in request.form:
            raise LookupError("after the job was created")
        db.session.commit()
        return {"order": str(order.id), "job": str(job.uid)}

    @app.get("/jobs/<uuid:uid>")
    def status(uid) -> dict[str, str | None]:
        job = steve.find(uid)
        return {"status": job.status.value if job else None}

    if starts:
        steve.start(app)
    return app


def create_starting_app() -> Flask:
    return create_app(starts=True)
