"""Flask with SQLAlchemy's ORM: tokens in a table, passwords hashed with bcrypt."""

import os
import secrets
import uuid
from datetime import UTC, datetime

import bcrypt
from flask import Flask, Response, abort, jsonify, request
from sqlalchemy import TIMESTAMP, ForeignKey, create_engine, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, sessionmaker

THREADS = 8

app = Flask(__name__)
engine = create_engine(
    os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+psycopg2://"),
    pool_size=THREADS,
    max_overflow=0,
)
new_session = sessionmaker(engine)


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "users"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    email: Mapped[str]
    name: Mapped[str | None]
    password_hash: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(TIMESTAMP(timezone=True))
    updated_at: Mapped[datetime] = mapped_column(TIMESTAMP(timezone=True))


class Token(Base):
    __tablename__ = "tokens"

    token: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id"))
    created_at: Mapped[datetime] = mapped_column(TIMESTAMP(timezone=True))
    revoked_at: Mapped[datetime | None] = mapped_column(TIMESTAMP(timezone=True))


@app.get("/api/user")
def read_user() -> Response:
    presented = request.authorization
    if presented is None or presented.token is None:
        abort(401)
    with new_session() as session:
        user = session.scalar(
            select(User)
            .join(Token, Token.user_id == User.id)
            .where(Token.token == presented.token, Token.revoked_at.is_(None))
        )
        if user is None:
            abort(401)
        return jsonify(
            id=str(user.id),
            email=user.email,
            name=user.name,
            created_at=user.created_at.isoformat(),
            updated_at=user.updated_at.isoformat(),
        )


@app.get("/api/user/login")
def log_in() -> Response:
    presented = request.authorization
    if presented is None or presented.username is None or presented.password is None:
        abort(401)
    with new_session() as session:
        user = session.scalar(select(User).where(User.email == presented.username))
        if user is None:
            abort(401)
        if not bcrypt.checkpw(presented.password.encode(), user.password_hash.encode()):
            abort(401)
        token = secrets.token_urlsafe()
        session.add(Token(token=token, user_id=user.id, created_at=datetime.now(UTC)))
        session.commit()
        return jsonify(token=token)
