from django.db import models


class Customer(models.Model):
    email = models.EmailField(unique=True)
    name = models.CharField(max_length=100)


class Ticket(models.Model):
    subject = models.CharField(max_length=200)
    priority = models.IntegerField(default=1)
    customer = models.ForeignKey(Customer, null=True, on_delete=models.CASCADE)
    assignee = models.CharField(max_length=100, null=True)
