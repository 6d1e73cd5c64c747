from django.shortcuts import get_object_or_404
from ninja import ModelSchema, Router, Schema

from .models import Item

router = Router(tags=["items"])


class ItemIn(Schema):
    sku: str
    name: str
    quantity: int = 0


class ItemOut(ModelSchema):
    class Meta:
        model = Item
        fields = ["id", "sku", "name", "quantity"]


class Adjust(Schema):
    delta: int


@router.get("", response=list[ItemOut])
def list_items(request):
    return Item.objects.order_by("id")


@router.post("", response={201: ItemOut})
def create_item(request, payload: ItemIn):
    return 201, Item.objects.create(**payload.dict())


@router.get("/{int:item_id}", response=ItemOut)
def get_item(request, item_id: int):
    return get_object_or_404(Item, id=item_id)


@router.patch("/{int:item_id}/adjust", response=ItemOut)
def adjust(request, item_id: int, payload: Adjust):
    item = get_object_or_404(Item, id=item_id)
    item.quantity += payload.delta
    item.save()
    return item


@router.delete("/{int:item_id}", response={204: None})
def delete_item(request, item_id: int):
    get_object_or_404(Item, id=item_id).delete()
    return 204, None
