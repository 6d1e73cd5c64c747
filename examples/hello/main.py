from fastapi import FastAPI

app = FastAPI(title="Hello")


@app.get("/")
def hello() -> dict[str, str]:
    """Say hello."""
    return {"message": "Hello, world!"}


@app.get("/hello/{name}")
def hello_name(name: str, excited: bool = False) -> dict[str, str]:
    """Say hello to somebody."""
    return {"message": f"Hello, {name}{'!' if excited else '.'}"}


@app.get("/health")
def health() -> dict[str, str]:
    """Whether the service is up."""
    return {"status": "ok"}
